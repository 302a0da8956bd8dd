from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, distance_box_iou

from stillroom.errors import StillroomError
from stillroom.losses import (
    KLDivergence,
    LocalizationDistillation,
    kl_divergence,
    localization_distillation,
    valuable_region,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_mean_over_bins_and_the_sum_over_locations_and_sides() -> None:
    """The sum over bins would be as many times larger, and the authors' weights wrong."""
    student, teacher = drawn(3, 4, 17), drawn(3, 4, 17, seed=1)
    weights = torch.tensor([0.5, 0.0, 2.0])
    rows = zip(student.flatten(0, 1), teacher.flatten(0, 1), strict=True)
    sides = torch.stack([kl_divergence(s[None], t[None], tau=10.0) / 17 for s, t in rows]).view(3, 4)
    expected = (weights * sides.sum(1)).sum() / 4
    torch.testing.assert_close(LocalizationDistillation()(student, teacher, weights=weights), expected)


def test_dense_map_is_as_many_locations() -> None:
    student, teacher, weights = drawn(2, 20, 3, 4), drawn(2, 20, 3, 4, seed=1), torch.rand(2, 3, 4)
    picked = [x.permute(0, 2, 3, 1).reshape(-1, 4, 5) for x in (student, teacher)]
    dense = localization_distillation(student, teacher, weights=weights)
    torch.testing.assert_close(dense, localization_distillation(*picked, weights=weights.flatten()))


def test_location_of_weight_0_counts_as_if_it_were_not_there() -> None:
    student, teacher = drawn(5, 4, 8).requires_grad_(), drawn(5, 4, 8, seed=1)
    here = torch.tensor([True, False, True, True, False])
    dense = LocalizationDistillation()(student, teacher, weights=here.double())
    picked = LocalizationDistillation()(student[here], teacher[here], weights=torch.ones(3))
    torch.testing.assert_close(dense, picked)
    (slope,) = torch.autograd.grad(dense, student)
    assert not slope[~here].any()


@pytest.mark.parametrize("shape", [(0, 4, 8), (0, 32, 2, 2)])
def test_no_location_at_all_is_0(shape: tuple[int, ...]) -> None:
    """An image without boxes must not end a run."""
    student = torch.zeros(shape, requires_grad=True)
    weights = torch.zeros(0, *shape[2:]) if len(shape) == 4 else torch.zeros(0)
    value = LocalizationDistillation()(student, torch.zeros(shape), weights=weights)
    value.backward()
    assert value.shape == ()
    assert value.item() == 0
    assert student.grad is not None


def test_weights_get_no_gradient() -> None:
    student, weights = drawn(2, 4, 8).requires_grad_(), torch.ones(2, requires_grad=True)
    LocalizationDistillation()(student, drawn(2, 4, 8, seed=1), weights=weights).backward()
    assert weights.grad is None
    localization_distillation(student, drawn(2, 4, 8, seed=1), weights=weights).backward()
    assert weights.grad is not None


def test_class_logits_of_the_positives_are_a_term_of_their_own() -> None:
    """tau², the mean over the classes and over the positives."""
    student, teacher = drawn(6, 5), drawn(6, 5, seed=1)
    rows = [kl_divergence(s[None], t[None], tau=2.0) / 5 for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(KLDivergence(tau=2.0, reduction="mean")(student, teacher), sum(rows) / 6)


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 4, 1), (2, 6, 3, 3), (2, 4, 3, 3), (2, 10, 3, 3)])
def test_what_holds_no_distributions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StillroomError) as caught:
        LocalizationDistillation()(torch.zeros(shape), torch.zeros(shape), weights=torch.zeros(2))
    accepted = "distributions (M, 4, bins) or maps (N, 4 · bins, H, W), bins >= 2"
    assert str(caught.value) == f"these are no distributions of four sides; expected {accepted}, got {shape}."


@pytest.mark.parametrize(
    ("shape", "weights", "expected", "got"),
    [
        ((3, 4, 8), torch.ones(3, 4), r"\(3,\)", r"\(3, 4\)"),
        ((3, 4, 8), torch.ones(()), r"\(3,\)", r"\(\)"),
        ((2, 32, 3, 5), torch.ones(2, 1, 3, 5), r"\(2, 3, 5\)", r"\(2, 1, 3, 5\)"),
        ((3, 4, 8), 1.0, r"\(3,\)", "float"),
    ],
)
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...], weights: Any, expected: str, got: str) -> None:
    message = rf"^weights must be one number per location; expected {expected}, got {got}\.$"
    with pytest.raises(StillroomError, match=message):
        LocalizationDistillation()(torch.zeros(shape), torch.zeros(shape), weights=weights)


# The valuable region

COUNTS = (64, 16, 4)


def anchors() -> Tensor:
    """Of three levels, one anchor at each position; not square, so that no two centres are equally far away."""
    levels = []
    for stride, cells in ((8, 8), (16, 4), (32, 2)):
        x, y = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="xy")
        centres = torch.stack((x, y), dim=-1).flatten(0, 1).double() * stride + stride / 2
        half = torch.tensor([4.0, 3.0]) * stride
        levels.append(torch.cat((centres - half, centres + half), dim=1))
    return torch.cat(levels)


def boxes() -> Tensor:
    return torch.tensor([[3.1, 5.2, 40.3, 33.7], [17.3, 9.9, 60.1, 62.4], [20.2, 20.7, 31.9, 29.4]]).double()


def slow_region(of_anchors: Tensor, of_boxes: Tensor, counts: tuple[int, ...]) -> list[float]:
    """Anchor by anchor, with torchvision's IoU and DIoU."""
    iou, diou = box_iou(of_anchors, of_boxes), distance_box_iou(of_anchors, of_boxes)
    weights = [0.0] * len(of_anchors)
    for b, box in enumerate(of_boxes.tolist()):
        picked, start = [], 0
        for count in counts:
            level = range(start, start + count)
            away = {a: math.dist(_centre(of_anchors[a].tolist()), _centre(box)) for a in level}
            picked += sorted(level, key=lambda a, away=away: away[a])[:9]
            start += count
        overlaps = [float(iou[a, b]) for a in picked]
        mean = sum(overlaps) / len(overlaps)
        threshold = mean + math.sqrt(sum((v - mean) ** 2 for v in overlaps) / (len(overlaps) - 1))
        for a in range(len(of_anchors)):
            if 0.25 * threshold <= float(diou[a, b]) < threshold:
                weights[a] = max(weights[a], float(iou[a, b]))
    return weights


def _centre(box: list[float]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


@pytest.mark.parametrize("which", [[0], [1], [2], [0, 1, 2]])
def test_region_is_that_of_the_paper(which: list[int]) -> None:
    weights = valuable_region(anchors(), boxes()[which], counts=COUNTS)
    expected = slow_region(anchors(), boxes()[which], COUNTS)
    torch.testing.assert_close(weights, torch.tensor(expected).double(), rtol=1e-6, atol=1e-9)
    assert 0 < int((weights > 0).sum()) < len(weights)


def test_region_surrounds_the_positives() -> None:
    """ATSS's positives have an IoU of at least the threshold, and are no part of it."""
    assert valuable_region(anchors(), anchors()[:1], counts=COUNTS)[0] == 0


def test_region_of_no_boxes_is_empty() -> None:
    """The authors' code returns something else there, which cannot be unpacked."""
    weights = valuable_region(anchors(), torch.empty(0, 4), counts=COUNTS)
    torch.testing.assert_close(weights, torch.zeros(84, dtype=torch.float64))


@pytest.mark.parametrize("counts", [(84,), (80, 4), (83, 1)])
def test_level_of_few_anchors_gives_all_of_them(counts: tuple[int, ...]) -> None:
    weights = valuable_region(anchors(), boxes(), counts=counts)
    torch.testing.assert_close(weights, torch.tensor(slow_region(anchors(), boxes(), counts)).double())


def test_single_anchor_has_no_deviation() -> None:
    weights = valuable_region(boxes()[:1], boxes()[:1], counts=[1])
    assert weights.tolist() == [0.0]


def test_box_without_area_is_finite() -> None:
    assert valuable_region(anchors(), torch.full((1, 4), 20.0), counts=COUNTS).isfinite().all()
    assert valuable_region(torch.full((3, 4), 20.0), torch.full((2, 4), 20.0), counts=[3]).isfinite().all()


def test_region_begins_at_a_part_of_the_threshold() -> None:
    sizes = [int((valuable_region(anchors(), boxes(), counts=COUNTS, low=low) > 0).sum()) for low in (0.0, 0.25, 0.9)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_half_precision_is_computed_in_float32() -> None:
    assert valuable_region(anchors().half(), boxes().half(), counts=COUNTS).dtype is torch.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"counts": (64, 16)}, r"^counts do not add up; expected 84 anchors, got 80\.$"),
        ({"counts": COUNTS, "low": 1.0}, r"^low is no part of the threshold; expected 0 <= low < 1, got 1\.0\.$"),
        (
            {"counts": COUNTS, "candidates": 0},
            r"^a threshold is made of candidates; expected candidates >= 1 and finite, got 0\.$",
        ),
        (
            {"counts": COUNTS, "boxes": torch.zeros(4)},
            r"^boxes: these are no boxes; .* of shape \(n, 4\), got \(4,\)\.$",
        ),
        (
            {"counts": COUNTS, "anchors": torch.zeros(84, 5)},
            r"^anchors: these are no boxes; .* of shape \(n, 4\), got \(84, 5\)\.$",
        ),
    ],
)
def test_region_of_bad_arguments_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        valuable_region(**({"anchors": anchors(), "boxes": boxes()} | given))
