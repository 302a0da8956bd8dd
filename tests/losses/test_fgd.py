from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillroom import Distiller, Term
from stillroom.connectors import Conv1x1
from stillroom.errors import StillroomError
from stillroom.losses import FGD
from stillroom.losses.boxes import box_weights
from stillroom.losses.fgd import attention

SIZE = (32, 40)
NONE = torch.empty(0, 4)
BOXES = [torch.tensor([[1.0, 2.0, 20.0, 15.0]]), NONE]
WEIGHTS = ("alpha", "beta", "gamma", "lambda_")


def maps(n: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, 6, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def only(name: str, weight: float = 1.0) -> nn.Module:
    return FGD(6, **(dict.fromkeys(WEIGHTS, 0.0) | {name: weight})).double()


def value(loss: nn.Module, boxes: list[Tensor] = BOXES, size: Any = SIZE) -> Tensor:
    return loss(maps(len(boxes)), maps(len(boxes), seed=1), boxes=boxes, image_size=size)


# Which cells a box covers


def test_box_covers_cells_from_the_floor_to_the_ceiling_and_shares_one_among_them() -> None:
    (weights,) = box_weights([torch.tensor([[9.0, 8.0, 23.0, 15.0]])], SIZE, (4, 5))
    expected = torch.zeros(1, 4, 5)
    expected[0, 1:3, 1:4] = 1 / 6
    torch.testing.assert_close(weights, expected)


def test_smaller_of_two_boxes_counts_where_they_meet() -> None:
    (weights,) = box_weights([torch.tensor([[1.0, 1.0, 38.0, 30.0], [9.0, 9.0, 10.0, 10.0]])], SIZE, (4, 5))
    assert weights[0, 1, 1] == 1 / 4
    assert weights[0, 0, 0] == pytest.approx(1 / (6 * 5))


@pytest.mark.parametrize("cells", [3, 7, 25, 49])
def test_side_on_the_grid_stays_there(cells: int) -> None:
    """Divided by the size of the image first, 48 / 56 * 7 would be a little above 6."""
    side = torch.arange(1.0, cells) * 8
    boxes = torch.stack((side * 0, side * 0, side, side), dim=1)
    for end, box in zip(range(1, cells), boxes, strict=True):
        (weights,) = box_weights([box.unsqueeze(0)], (8 * cells, 8 * cells), (cells, cells))
        assert int((weights > 0).sum()) == (end + 1) ** 2


def test_padding_changes_no_weight_of_a_cell_that_was_there() -> None:
    """The map covers the padded image; with each image's own size, boxes would grow by what was padded."""
    boxes = torch.tensor([[1.0, 2.0, 20.0, 15.0], [30.0, 20.0, 40.0, 32.0]])
    (small,) = box_weights([boxes], SIZE, (4, 5))
    (padded,) = box_weights([boxes], (64, 48), (8, 6))
    torch.testing.assert_close(padded[:, :4, :5], small)


def test_padding_that_shifts_the_image_shifts_the_weights() -> None:
    boxes = torch.tensor([[1.0, 2.0, 20.0, 15.0]])
    (here,) = box_weights([boxes], SIZE, (4, 5))
    (there,) = box_weights([boxes + torch.tensor([16.0, 8.0, 16.0, 8.0])], (48, 64), (6, 8))
    torch.testing.assert_close(there[:, 1:5, 2:7], here)


@pytest.mark.parametrize("box", [[10.0, 10.0, 10.0, 10.0], [20.0, 20.0, 5.0, 5.0], [-9.0, -9.0, 99.0, 99.0]])
def test_any_box_is_finite(box: list[float]) -> None:
    assert box_weights([torch.tensor([box])], SIZE, (4, 5)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16, torch.float64])
def test_boxes_have_any_type(dtype: torch.dtype) -> None:
    box = torch.tensor([[8, 8, 24, 16]])
    torch.testing.assert_close(
        box_weights([box.to(dtype)], SIZE, (4, 5)), box_weights([box], SIZE, (4, 5)), check_dtype=False
    )


# The four parts


def test_objects_count_by_the_teachers_attention() -> None:
    pixels, channels = attention(maps(seed=1), 0.5)
    of_boxes = box_weights(BOXES, SIZE, (4, 5))
    expected = (of_boxes * pixels * channels * (maps() - maps(seed=1)).square()).sum() / 2
    torch.testing.assert_close(value(only("alpha")).detach(), expected)


def test_background_counts_where_no_box_is() -> None:
    pixels, channels = attention(maps(seed=1), 0.5)
    outside = torch.ones(2, 1, 4, 5, dtype=torch.float64)
    outside[0, 0, 0:3, 0:4] = 0
    outside = outside / torch.tensor([8.0, 20.0]).view(2, 1, 1, 1)
    expected = (outside * pixels * channels * (maps() - maps(seed=1)).square()).sum() / 2
    torch.testing.assert_close(value(only("beta")).detach(), expected)


def test_attention_is_one_on_average() -> None:
    pixels, channels = attention(maps(), 0.1)
    torch.testing.assert_close(pixels.mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(channels.mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_attention_counts_by_the_sum_of_its_differences() -> None:
    pairs = zip(attention(maps(), 0.5), attention(maps(seed=1), 0.5), strict=True)
    expected = sum((s - t).abs().sum() for s, t in pairs) / 2
    torch.testing.assert_close(value(only("gamma")).detach(), expected)


def test_relation_is_the_map_itself_at_first() -> None:
    expected = (maps() - maps(seed=1)).square().sum() / 2
    torch.testing.assert_close(value(only("lambda_")).detach(), expected)


def test_weights_are_arguments() -> None:
    alone = [value(only(name, 2.0)) for name in WEIGHTS]
    torch.testing.assert_close(sum(alone), value(FGD(6, **dict.fromkeys(WEIGHTS, 2.0)).double()))


# Images without boxes, and without background


def test_image_without_boxes_is_background() -> None:
    """The peers' has no value there, or one of another type."""
    student = maps().requires_grad_()
    result = FGD(6).double()(student, maps(seed=1), boxes=[NONE, NONE], image_size=SIZE)
    result.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert value(only("alpha"), [NONE, NONE]) == 0
    pixels, channels = attention(maps(seed=1), 0.5)
    expected = (pixels * channels * (maps() - maps(seed=1)).square()).sum() / 20 / 2
    torch.testing.assert_close(value(only("beta"), [NONE, NONE]).detach(), expected)


def test_image_without_background_has_none() -> None:
    everywhere = torch.tensor([[0.0, 0.0, 40.0, 32.0]])
    assert value(only("beta"), [everywhere, everywhere]) == 0


def test_size_may_be_a_tensor() -> None:
    torch.testing.assert_close(value(FGD(6).double(), size=torch.tensor(SIZE)), value(FGD(6).double()))


# What learns


def test_both_relation_blocks_are_parameters_and_come_back() -> None:
    """PaddleDetection's are in no optimizer and no checkpoint, and stay as they were made."""
    loss = FGD(6, lambda_=1.0).double()
    optimizer = torch.optim.SGD(loss.parameters(), lr=1e-3)
    before = copy.deepcopy(loss.state_dict())
    for _ in range(2):
        optimizer.zero_grad()
        value(loss).backward()
        optimizer.step()
    moved = {name: not torch.equal(now, before[name]) for name, now in loss.state_dict().items()}
    assert all(moved.values()), moved
    again = FGD(6, lambda_=1.0).double()
    again.load_state_dict(loss.state_dict())
    torch.testing.assert_close(value(again), value(loss))


def test_trains_in_a_distiller_with_a_connector() -> None:
    torch.manual_seed(0)
    student, teacher = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8)), nn.Sequential(nn.Conv2d(3, 6, 8, stride=8))
    term = Term(FGD(6, lambda_=1.0), student="0", teacher="0", connector=Conv1x1(4, 6))
    distiller = Distiller(student, teacher, terms={"fgd": term})
    frozen = copy.deepcopy(teacher.state_dict())
    held = {id(parameter) for parameter in distiller.parameters()}
    assert {id(parameter) for parameter in term.loss.parameters()} <= held
    optimizer, images = torch.optim.SGD(distiller.parameters(), lr=1e-4), torch.rand(2, 3, *SIZE)
    values: list[float] = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = distiller(images, boxes=BOXES, image_size=SIZE).loss
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.9 * values[0]
    assert all(torch.equal(now, frozen[name]) for name, now in teacher.state_dict().items())


def test_example_of_odd_sizes() -> None:
    loss = FGD(5)
    student, teacher = torch.rand(1, 5, 3, 7), torch.rand(1, 5, 3, 7)
    assert loss(student, teacher, boxes=[torch.rand(3, 4).sort(1).values * 20], image_size=(23, 55)).isfinite()


# What is refused


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (BOXES[:1], r"^boxes must be given for each image; expected a list of 2, got list of 1\.$"),
        (torch.zeros(2, 1, 4), r"^boxes must be given for each image; expected a list of 2, got Tensor\.$"),
        (
            [NONE, torch.zeros(4)],
            r"^boxes\[1\]: these are no boxes; expected corners x1, y1, x2, y2, of shape \(n, 4\), got \(4,\)\.$",
        ),
        ([NONE, None], r"^boxes\[1\]: these are no boxes; .*, got NoneType\.$"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: Any, message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        FGD(6)(maps(), maps(), boxes=boxes, image_size=SIZE)


@pytest.mark.parametrize(
    ("size", "got"),
    [
        ((32,), r"\(32,\)"),
        ((32, 0), r"\(32, 0\)"),
        ([(32, 40), (32, 40)], r"\[\(32, 40\), \(32, 40\)\]"),
        (torch.ones(2, 2), r"\(2, 2\)"),
        (32, "32"),
    ],
)
def test_size_that_is_none_is_refused(size: Any, got: str) -> None:
    message = r"^image_size is not the size of the padded batch; expected \(height, width\) in pixels, one for all, got"
    with pytest.raises(StillroomError, match=rf"{message} {got}\.$"):
        FGD(6)(maps(), maps(), boxes=BOXES, image_size=size)


def test_other_channels_are_refused() -> None:
    got = r"student \(2, 6, 4, 5\) and teacher \(2, 6, 4, 5\)"
    message = rf"^the loss is for other channels; expected student C = 8 and teacher C = 8, got {got}\.$"
    with pytest.raises(StillroomError, match=message):
        FGD(8)(maps(), maps(), boxes=BOXES, image_size=SIZE)


def test_single_channel_is_refused() -> None:
    message = r"^a relation block has half of the channels inside; expected channels >= 2 and finite, got 1\.$"
    with pytest.raises(StillroomError, match=message):
        FGD(1)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_weight_out_of_range_is_refused(name: str, bad: float) -> None:
    with pytest.raises(StillroomError, match=rf"^{name} is no weight; expected {name} >= 0 and finite, got {bad}\.$"):
        FGD(6, **{name: bad})
