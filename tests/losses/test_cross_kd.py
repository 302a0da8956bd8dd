from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import generalized_box_iou, generalized_box_iou_loss

from stillroom.errors import StillroomError
from stillroom.losses import CrossKD, cross_kd, kl_divergence
from stillroom.losses.cross_kd import restandardized
from stillroom.losses.giou import giou, of_deltas

SAME = nn.Identity()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tail(channels: int = 6, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels, 1)).double()


def crossed(student: Tensor, hidden: Tensor, through: nn.Module) -> Tensor:
    dims = (0, 2, 3)
    unit = (student - student.mean(dims, keepdim=True)) / (student.std(dims, keepdim=True) + 1e-6)
    return through((unit * hidden.std(dims, keepdim=True) + hidden.mean(dims, keepdim=True)).relu())


STUDENT, HIDDEN = drawn(2, 4, 3, 5), 3 * drawn(2, 4, 3, 5, seed=1) + 2


# What is compared


def test_scores_by_the_focal_cross_entropy() -> None:
    through, teacher = tail(), drawn(2, 6, 3, 5, seed=2)
    s, t = crossed(STUDENT, HIDDEN, through), teacher.sigmoid()
    focal = (s.sigmoid() - t).abs() ** 2 * F.binary_cross_entropy(s.sigmoid(), t, reduction="none")
    value = CrossKD(gamma=2.0)(STUDENT, teacher, hidden=HIDDEN, tail=through, positives=7)
    torch.testing.assert_close(value, focal.sum() / 7)


def test_distributions_by_the_sum_over_bins() -> None:
    through, teacher, scores = tail(12), drawn(2, 12, 3, 5, seed=2), drawn(2, 4, 3, 5, seed=3)
    s, t = (x.permute(0, 2, 3, 1).reshape(-1, 3) for x in (crossed(STUDENT, HIDDEN, through), teacher))
    sides = kl_divergence(s, t, tau=2.0, reduction="none").sum(1).view(2, 3, 5, 4).sum(3)
    weights = scores.sigmoid().amax(1)
    value = CrossKD(predictions="distributions", tau=2.0)(STUDENT, teacher, hidden=HIDDEN, tail=through, scores=scores)
    torch.testing.assert_close(value, (weights * sides).sum() / 4 / weights.sum())


def test_deltas_are_compared_as_the_boxes_that_torchvision_makes_of_them() -> None:
    """Whatever the anchors are; 9 at each position, as RetinaNet has."""
    through, teacher, scores = tail(36), drawn(2, 36, 3, 5, seed=2), drawn(2, 18, 3, 5, seed=3)
    corners = 50 * torch.rand(2 * 15 * 9, 2, generator=torch.Generator().manual_seed(0)).double()
    anchors = torch.cat((corners, corners + 1 + corners.flip(1)), dim=1)
    flat = [flattened(x, 4).flatten(0, 1) for x in (crossed(STUDENT, HIDDEN, through), teacher)]
    boxes = [BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(x, anchors) for x in flat]
    weights = flattened(scores, 2).sigmoid().amax(2).flatten()
    expected = (weights * generalized_box_iou_loss(*boxes)).sum() / weights.sum()
    loss = CrossKD(predictions="deltas", anchors=9)
    value = loss(STUDENT, teacher, hidden=HIDDEN, tail=through, scores=scores)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)


def test_distances_are_compared_as_boxes_around_their_points() -> None:
    through, scores = nn.Sequential(tail(4), nn.Softplus()), drawn(2, 3, 3, 5, seed=3)
    teacher = drawn(2, 4, 3, 5, seed=2).exp()
    points = 100 * drawn(30, 2, seed=4)
    flat = [flattened(x, 4).flatten(0, 1) for x in (crossed(STUDENT, HIDDEN, through), teacher)]
    boxes = [torch.cat((points - x[:, :2], points + x[:, 2:]), dim=1) for x in flat]
    weights = flattened(scores, 3).sigmoid().amax(2).flatten()
    expected = (weights * generalized_box_iou_loss(*boxes)).sum() / 5
    loss = CrossKD(predictions="distances")
    value = loss(STUDENT, teacher, hidden=HIDDEN, tail=through, scores=scores, positives=5)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)


def flattened(x: Tensor, width: int) -> Tensor:
    """As torchvision's heads do: (N, A · K, H, W) to (N, H · W · A, K)."""
    n, _, h, w = x.shape
    return x.view(n, -1, width, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, width)


def test_giou_of_boxes_that_meet_and_that_do_not() -> None:
    sides = 3 * drawn(50, 4)
    sides[:, 2:] = (0.1 + sides[:, 2:].abs()) - sides[:, :2]
    a, b = sides[:25], sides[25:]
    boxes = [torch.cat((7 - x[:, :2], 7 + x[:, 2:]), dim=1) for x in (a, b)]
    torch.testing.assert_close(giou(a, b, dim=1), generalized_box_iou(*boxes).diagonal())


def test_giou_does_not_see_the_units_of_an_axis() -> None:
    a, b, units = drawn(25, 4).exp(), drawn(25, 4, seed=1).exp(), torch.tensor([8.0, 3.0, 8.0, 3.0])
    torch.testing.assert_close(giou(units * a, units * b, dim=1), giou(a, b, dim=1))


def test_delta_of_0_is_the_anchor() -> None:
    torch.testing.assert_close(of_deltas(torch.zeros(1, 4), dim=1), torch.full((1, 4), 0.5))


# The crossing


@pytest.mark.parametrize(
    ("predictions", "channels"), [("scores", 6), ("distributions", 12), ("deltas", 4), ("distances", 4)]
)
def test_teachers_own_map_gives_its_own_predictions(predictions: Any, channels: int) -> None:
    through = nn.Sequential(tail(channels), nn.Softplus())
    teacher, scores = through(HIDDEN.relu()), None if predictions == "scores" else drawn(2, 6, 3, 5)
    value = CrossKD(predictions=predictions)(HIDDEN, teacher, hidden=HIDDEN, tail=through, scores=scores)
    assert 0 <= float(value) < 1e-5


def test_mean_and_size_of_a_channel_are_free() -> None:
    factors = torch.tensor([0.1, 1.0, 7.0, 50.0]).view(4, 1, 1)
    moved = restandardized(5 + factors * STUDENT, HIDDEN)
    torch.testing.assert_close(moved, restandardized(STUDENT, HIDDEN), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.mean((0, 2, 3)), HIDDEN.mean((0, 2, 3)))


def test_constant_channel_becomes_the_teachers_mean() -> None:
    student = torch.full((2, 4, 3, 5), 3.0, dtype=torch.float64, requires_grad=True)
    value = restandardized(student, HIDDEN)
    torch.testing.assert_close(value, HIDDEN.mean((0, 2, 3), keepdim=True).expand_as(HIDDEN))
    value.square().sum().backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e3


def test_tail_may_be_modules_in_turn() -> None:
    through, teacher = tail(), drawn(2, 6, 3, 5, seed=2)
    whole = CrossKD()(STUDENT, teacher, hidden=HIDDEN, tail=through)
    for parts in ([*through], tuple(through), nn.ModuleList(through)):
        assert torch.equal(CrossKD()(STUDENT, teacher, hidden=HIDDEN, tail=parts), whole)


def test_tail_is_frozen_and_the_student_learns_through_it() -> None:
    through, student = tail(), STUDENT.clone().requires_grad_()
    teacher, hidden = drawn(2, 6, 3, 5, seed=2).requires_grad_(), HIDDEN.clone().requires_grad_()
    CrossKD()(student, teacher, hidden=hidden, tail=through).backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None
    assert hidden.grad is None
    assert all(parameter.grad is None and parameter.requires_grad for parameter in through.parameters())


def test_bare_function_detaches_nothing() -> None:
    through, hidden = tail(), HIDDEN.clone().requires_grad_()
    cross_kd(STUDENT, drawn(2, 6, 3, 5), hidden=hidden, tail=through).backward()
    assert hidden.grad is not None
    assert all(parameter.grad is not None for parameter in through.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tail_in_half_is_computed_in_float32(dtype: torch.dtype) -> None:
    """It stays in its own type, and its rounded numbers are all that is lost."""
    half, teacher = tail().to(dtype), drawn(2, 6, 3, 5, seed=2).to(dtype)
    exact = tail().to(dtype).double()
    given = STUDENT.to(dtype), teacher
    value = CrossKD()(*given, hidden=HIDDEN.to(dtype), tail=half)
    expected = CrossKD()(*(x.double() for x in given), hidden=HIDDEN.to(dtype).double(), tail=exact)
    assert value.dtype is torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(CrossKD()(*given, hidden=HIDDEN.to(dtype), tail=half), value)


def test_buffers_of_the_tail_stay() -> None:
    through = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1)).eval()
    before = {name: value.clone() for name, value in through.state_dict().items()}
    CrossKD()(STUDENT.float(), drawn(2, 6, 3, 5).float(), hidden=HIDDEN.float(), tail=through)
    assert all(torch.equal(now, before[name]) for name, now in through.state_dict().items())


# Levels, and what their sum is divided by


def test_levels_add_up_and_have_one_divisor() -> None:
    through, sizes = tail(), ((4, 5), (2, 3), (1, 1))
    students, hiddens = ([drawn(2, 4, *size, seed=seed) for size in sizes] for seed in (0, 1))
    teachers = [drawn(2, 6, *size, seed=2) for size in sizes]
    rows = zip(students, teachers, hiddens, strict=True)
    levels = [CrossKD()(s, t, hidden=h, tail=through, positives=1) for s, t, h in rows]
    given = {"hidden": tuple(hiddens), "tail": through}
    torch.testing.assert_close(CrossKD()(tuple(students), teachers, **given, positives=4), sum(levels) / 4)
    weights = sum(t.sigmoid().amax(1).sum() for t in teachers)
    torch.testing.assert_close(CrossKD()(tuple(students), teachers, **given), sum(levels) / weights)


@pytest.mark.parametrize("none", [0, 0.5, torch.tensor(0), torch.tensor(0.5)])
def test_batch_of_no_positives_is_divided_by_1(none: Any) -> None:
    given = {"hidden": HIDDEN, "tail": tail()}
    teacher = drawn(2, 6, 3, 5, seed=2)
    torch.testing.assert_close(
        CrossKD()(STUDENT, teacher, **given, positives=none), CrossKD()(STUDENT, teacher, **given, positives=1)
    )


def test_teacher_that_sees_nothing_is_divided_by_1() -> None:
    student, teacher = drawn(2, 4, 3, 5).exp(), drawn(2, 4, 3, 5, seed=1).exp()
    loss = CrossKD(predictions="distances")
    assert loss(student, teacher, hidden=student, tail=SAME, scores=torch.full((2, 1, 3, 5), -1e4)) == 0


def test_two_anchors_have_a_weight_each() -> None:
    scores = torch.tensor([3.0, -1.0, -2.0, 0.0]).view(1, 4, 1, 1)
    teacher = torch.zeros(1, 8, 1, 2)
    loss = CrossKD(predictions="deltas", anchors=2)
    student = torch.cat((torch.zeros(1, 4, 1, 2), drawn(1, 4, 1, 2).float()), dim=1)
    given = {"hidden": student, "tail": SAME, "scores": scores.expand(1, 4, 1, 2), "positives": 1}
    far = loss(student, teacher, **given)
    alone = {**given, "scores": torch.cat((torch.full((1, 2, 1, 2), -1e4), torch.full((1, 2, 1, 2), 1e4)), dim=1)}
    torch.testing.assert_close(far, loss(student, teacher, **alone) * torch.tensor(0.0).sigmoid())


# A head of torchvision


def test_head_of_retinanet() -> None:
    """Its own map, behind the third of four convolutions, makes its own predictions; a student's learns to."""
    torch.manual_seed(0)
    own, other = RetinaNetHead(8, 9, 3).eval().requires_grad_(False), RetinaNetHead(8, 9, 3)
    pyramid = [torch.rand(2, 8, size, size) for size in (8, 4, 2)]
    parts = {
        "scores": ("classification_head", "cls_logits", "cls_logits", 3),
        "deltas": ("regression_head", "bbox_reg", "bbox_regression", 4),
    }
    of_own, of_other = [], []
    for name, (branch, last, output, width) in parts.items():
        branches = [getattr(head, branch) for head in (own, other)]
        hidden, students = ([_before_activation(one, x) for x in pyramid] for one in branches)
        rest = [branches[0].conv[3], getattr(branches[0], last)]
        teachers = [getattr(branches[0], last)(branches[0].conv(x)) for x in pyramid]
        torch.testing.assert_close(
            torch.cat([flattened(t, width) for t in teachers], dim=1), own(pyramid)[output], rtol=1e-5, atol=1e-6
        )
        given: dict[str, Any] = {"hidden": hidden, "tail": rest}
        if name == "deltas":
            given["scores"] = [own.classification_head.cls_logits(own.classification_head.conv(x)) for x in pyramid]
        loss = CrossKD(predictions=name, anchors=9)
        again = [_crossed_as_it_is(h, rest) for h in hidden]
        torch.testing.assert_close(again, teachers, rtol=1e-4, atol=1e-4)
        of_own.append(float(loss(hidden, teachers, **given)))
        of_other.append(loss(students, teachers, **given))
    assert max(of_own) < 1e-4
    sum(of_other).backward()
    slopes = {name: parameter.grad for name, parameter in other.named_parameters() if ".conv." in name}
    reached = {name for name, slope in slopes.items() if slope is not None and slope.any()}
    assert reached == {name for name in slopes if ".conv.3." not in name}


def _before_activation(branch: Any, x: Tensor) -> Tensor:
    return branch.conv[2][0](branch.conv[:2](x))


def _crossed_as_it_is(hidden: Tensor, rest: list[nn.Module]) -> Tensor:
    return nn.Sequential(*rest)(restandardized(hidden, hidden).relu())


# What is refused


def call(loss: nn.Module | None = None, **given: Any) -> Tensor:
    taken = {"student": STUDENT, "teacher": drawn(2, 6, 3, 5), "hidden": HIDDEN, "tail": tail()} | given
    return (loss or CrossKD())(**taken)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"scores": drawn(2, 6, 3, 5)},
            r"^scores do not fit predictions 'scores'; expected none, got Tensor\.$",
        ),
        ({"hidden": HIDDEN[:, :3]}, r"^hidden: .* got student \(2, 4, 3, 5\) and teacher \(2, 3, 3, 5\)\."),
        ({"hidden": [HIDDEN, HIDDEN]}, r"^hidden: .*levels; .*, got student tuple of 1 and teacher tuple of 2\.$"),
        ({"hidden": None}, r"^hidden: both sides must have the same levels; .* and teacher NoneType\.$"),
        (
            {"teacher": drawn(2, 5, 3, 5)},
            r"^tail: .* got student \(2, 6, 3, 5\) and teacher \(2, 5, 3, 5\)\.",
        ),
        ({"teacher": drawn(2, 6, 3, 4)}, r"^student and teacher differ in shape; expected the same N, H, W, got"),
        ({"tail": None}, r"^the tail is no part of a head; expected a module, or several in turn, got NoneType\.$"),
        ({"tail": [SAME, 3]}, r"^the tail is no part of a head; expected a module, or several in turn, got int\.$"),
        ({"positives": torch.ones(2)}, r"^positives must be one number; expected \(\), got \(2,\)\.$"),
        (
            {"positives": -1},
            r"^this cannot be a number of positives; expected positives >= 0 and finite, got -1\.$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        call(**given)


@pytest.mark.parametrize("predictions", ["distributions", "deltas", "distances"])
def test_boxes_without_scores_are_refused(predictions: Any) -> None:
    expected = "the teacher's class logits, which weigh the boxes"
    message = rf"^scores do not fit predictions '{predictions}'; expected {expected}, got NoneType\.$"
    with pytest.raises(StillroomError, match=message):
        call(CrossKD(predictions=predictions))


@pytest.mark.parametrize(
    ("predictions", "anchors", "channels", "said"),
    [
        ("scores", 9, 20, "scores of 9 anchors; expected C = 9 · classes"),
        ("deltas", 1, 8, "deltas of 1 anchor; expected C = 1 · 4"),
        ("distances", 2, 4, "distances of 2 anchors; expected C = 2 · 4"),
        ("distributions", 2, 8, "distributions of 2 anchors; expected C = 2 · 4 · bins, bins >= 2"),
        ("distributions", 1, 30, "distributions of 1 anchor; expected C = 1 · 4 · bins, bins >= 2"),
    ],
)
def test_channels_of_other_anchors_are_refused(predictions: Any, anchors: int, channels: int, said: str) -> None:
    loss = CrossKD(predictions=predictions, anchors=anchors)
    scores = None if predictions == "scores" else drawn(2, 3 * anchors, 3, 5)
    with pytest.raises(StillroomError) as caught:
        call(loss, teacher=drawn(2, channels, 3, 5), tail=tail(channels), scores=scores)
    fix = "anchors is how many there are at each position."
    assert str(caught.value) == f"the channels are no {said}, got (2, {channels}, 3, 5). {fix}"


def test_scores_of_other_anchors_are_refused() -> None:
    loss = CrossKD(predictions="deltas", anchors=2)
    message = r"^the channels are no scores of 2 anchors; expected C = 2 · classes, got \(2, 3, 3, 5\)\."
    with pytest.raises(StillroomError, match=message):
        call(loss, teacher=drawn(2, 8, 3, 5), tail=tail(8), scores=drawn(2, 3, 3, 5))


def test_unknown_predictions_are_refused() -> None:
    kind: Any = "delta"
    message = (
        r"^unknown predictions 'delta'; expected scores or distributions or deltas or distances\. Did you mean 'de"
    )
    with pytest.raises(StillroomError, match=message):
        CrossKD(predictions=kind)
    with pytest.raises(StillroomError, match=message):
        cross_kd(STUDENT, STUDENT, hidden=HIDDEN, tail=SAME, predictions=kind)


@pytest.mark.parametrize("bad", [0.5, -1.0, math.nan])
def test_gamma_below_1_is_refused(bad: float) -> None:
    message = r"^below 1 the gradient has no bound where both sides agree; expected gamma >= 1 and finite, got"
    with pytest.raises(StillroomError, match=rf"{message} {bad}\.$"):
        CrossKD(gamma=bad)


def test_no_anchors_are_refused() -> None:
    message = r"^a position without anchors predicts nothing; expected anchors >= 1 and finite, got 0\.$"
    with pytest.raises(StillroomError, match=message):
        CrossKD(anchors=0)
