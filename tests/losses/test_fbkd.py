from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from stillroom import Distiller, Term
from stillroom.connectors import FBKDFeatures, FBKDStudent, FBKDTeacher
from stillroom.errors import StillroomError
from stillroom.losses import FBKD, fbkd

SHAPES = ((2, 3, 4, 5), (2, 3), (2, 1, 4, 5), (2, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1))


def features(seed: int = 0, n: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand((n, *shape[1:]), generator=generator, dtype=torch.float64) for shape in SHAPES)


def swapped(side: tuple[Tensor, ...], place: int, new: Tensor) -> tuple[Tensor, ...]:
    return tuple(new if i == place else x for i, x in enumerate(side))


@pytest.mark.parametrize(("place", "weight"), [(1, 4e-3), (2, 4e-3), (3, 7e-5)])
def test_each_part_is_a_norm_over_the_batch_with_its_weight(place: int, weight: float) -> None:
    student, teacher = features(), features(1)
    only = swapped(student, place, teacher[place])
    expected = weight * math.sqrt(float((student[place] - teacher[place]).square().sum()))
    assert float(FBKD()(student, only)) == pytest.approx(expected)


def test_feature_counts_by_the_means_of_both_masks() -> None:
    student, teacher = features(), features(1)
    only = swapped(swapped(swapped(student, 0, teacher[0]), 4, teacher[4]), 5, teacher[5])
    mask = (student[4] + teacher[4]) / 2 * (student[5] + teacher[5]) / 2
    expected = 7e-5 * math.sqrt(float(((student[0] - teacher[0]).square() * mask).sum()))
    assert float(FBKD()(student, only)) == pytest.approx(expected)


def test_weights_are_arguments() -> None:
    student, teacher = features(), features(1)
    names = ("feature", "channels", "space", "relation")
    alone = [FBKD(**dict.fromkeys(names, 0.0) | {name: 2.0})(student, teacher) for name in names]
    torch.testing.assert_close(sum(alone), FBKD(**dict.fromkeys(names, 2.0))(student, teacher))


def test_batch_said_twice_is_worth_the_root_of_two() -> None:
    student, teacher = features(), features(1)
    twice = [tuple(torch.cat((x, x)) for x in side) for side in (student, teacher)]
    assert float(fbkd(*twice)) == pytest.approx(math.sqrt(2) * float(fbkd(student, teacher)))


def test_equal_sides_give_0_and_no_gradient() -> None:
    student = tuple(x.requires_grad_() for x in features())
    value = FBKD()(student, features())
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, student[:4]):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_of_the_teacher_the_relation_alone_gets_a_gradient() -> None:
    teacher = tuple(x.requires_grad_() for x in features(1))
    FBKD()(features(), teacher).backward()
    assert [x.grad is not None for x in teacher] == [False, False, False, True, False, False]


def test_masks_get_no_gradient_from_either_side() -> None:
    sides = [tuple(x.requires_grad_() for x in features(seed)) for seed in (0, 1)]
    fbkd(*sides).backward()
    assert [[x.grad is None for x in side] for side in sides] == [[False] * 4 + [True] * 2] * 2


def test_trains_the_blocks_of_both_connectors() -> None:
    """The teacher's block starts as the identity; from the second step on, all of it moves."""
    torch.manual_seed(0)
    student, teacher = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Conv2d(1, 4, 3))
    of_student, of_teacher = FBKDStudent(4), FBKDTeacher(4)
    term = Term(
        FBKD(relation=1.0), student="0", teacher="0", connector=of_student, teacher_connector=of_teacher, weight=6.0
    )
    distiller = Distiller(student, teacher, terms={"fbkd": term})
    held = {id(parameter) for parameter in distiller.parameters()}
    assert {id(parameter) for parameter in of_teacher.parameters()} <= held
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.01)
    before = {name: p.detach().clone() for name, p in distiller.named_parameters()}
    frozen = [p.clone() for p in teacher.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        distiller(torch.rand(2, 1, 8, 8)).loss.backward()
        optimizer.step()
    moved = {name: not torch.equal(p, before[name]) for name, p in distiller.named_parameters()}
    assert all(moved.values()), moved
    assert all(torch.equal(p, was) for p, was in zip(teacher.parameters(), frozen, strict=True))


def test_reads_the_order_that_the_connectors_give() -> None:
    student, teacher = FBKDStudent(3)(torch.rand(2, 3, 4, 5)), FBKDTeacher(3)(torch.rand(2, 3, 4, 5))
    assert [tuple(x.shape) for x in student] == [*SHAPES]
    assert FBKDFeatures._fields == ("feature", "channels", "space", "relation", "spatial_mask", "channel_mask")
    assert FBKD()(student, teacher) == FBKD()(tuple(student), [*teacher])


@pytest.mark.parametrize(
    ("student", "teacher", "got"),
    [
        (features()[0], features(), r"student \(2, 3, 4, 5\) and teacher tuple of 6"),
        (features(), features()[0], r"student tuple of 6 and teacher \(2, 3, 4, 5\)"),
        (features()[:4], features(), "student tuple of 4 and teacher tuple of 6"),
    ],
)
def test_other_than_six_tensors_are_refused(student: Tensor, teacher: Tensor, got: str) -> None:
    with pytest.raises(
        StillroomError,
        match=rf"^both sides must be what FBKDStudent and FBKDTeacher return; expected a tuple of 6, got {got}\.$",
    ):
        FBKD()(student, teacher)


@pytest.mark.parametrize(
    ("place", "name", "shape", "expected"),
    [
        (1, "channels", (2, 4), (2, 3)),
        (2, "space", (2, 3, 4, 5), (2, 1, 4, 5)),
        (4, "spatial_mask", (2, 1, 1, 1), (2, 1, 4, 5)),
        (5, "channel_mask", (1, 3, 1, 1), (2, 3, 1, 1)),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    place: int, name: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """A mask would be broadcast, silently."""
    side = swapped(features(), place, torch.ones(shape))
    with pytest.raises(StillroomError) as caught:
        FBKD()(side, side)
    assert str(caught.value) == f"{name} does not fit the feature (2, 3, 4, 5); expected {expected}, got {shape}."


def test_feature_that_is_no_map_is_refused() -> None:
    side = swapped(features(), 0, torch.ones(2, 3))
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected a feature \(N, C, H, W\), got \(2, 3\)\.$"
    ):
        FBKD()(side, side)


@pytest.mark.parametrize("name", ["feature", "channels", "space", "relation"])
@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_weight_out_of_range_is_refused(name: str, bad: float) -> None:
    with pytest.raises(StillroomError, match=rf"^{name} is no weight; expected {name} >= 0 and finite, got {bad}\.$"):
        FBKD(**{name: bad})
