"""VOC's average precision, by hand and against plain loops."""

from __future__ import annotations

import copy
import math
import pickle
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from voc_reference import average_precision

from stillroom.errors import StillroomError
from stillroom.metrics import VOCAveragePrecision

Found = dict[str, Tensor]


def preds(*rows: tuple[list[float], float, int]) -> Found:
    boxes, scores, labels = ([row[place] for row in rows] for place in range(3))
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def target(*rows: tuple[list[float], int, bool]) -> Found:
    boxes, labels, difficult = ([row[place] for row in rows] for place in range(3))
    found = {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }
    return found | {"difficult": torch.tensor(difficult)} if any(difficult) else found


def measured(found: Found, truth: Found, **options: object) -> float:
    metric = VOCAveragePrecision(**options)
    metric.update([found], [truth])
    return metric.compute()["map"].item()


A, B = [0.0, 0, 9, 9], [20.0, 20, 29, 39]


def test_all_that_is_there() -> None:
    found, truth = preds((A, 0.9, 0), (B, 0.4, 1)), target((A, 0, False), (B, 1, False))
    for interpolation in ("11point", "integral"):
        assert measured(found, truth, interpolation=interpolation) == 1.0


def test_a_second_match_is_a_mistake() -> None:
    truth = target((A, 0, False), (B, 0, False))
    twice = preds((A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 0))
    assert measured(twice, truth, interpolation="integral") == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert measured(twice, truth) == pytest.approx((6 + 5 * 2 / 3) / 11)
    # the order in which they are given is of no account, the score is
    assert measured(preds((B, 0.7, 0), (A, 0.8, 0), (A, 0.9, 0)), truth) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_a_second_match_does_not_take_the_box_it_overlaps_less() -> None:
    near = [0.0, 2, 9, 11]
    truth = target((A, 0, False), (near, 0, False))
    close = [0.0, 0.5, 9, 9.5]  # above 0.5 with both, and more with the first
    found = preds((A, 0.9, 0), (close, 0.8, 0))
    assert measured(found, truth, interpolation="integral") == pytest.approx(0.5)


def test_difficult_objects_are_neither_right_nor_wrong() -> None:
    truth = target((A, 0, False), (B, 0, True))
    assert measured(preds((B, 0.9, 0), (B, 0.8, 0), (A, 0.7, 0)), truth) == 1.0
    assert measured(preds((A, 0.7, 0)), truth) == 1.0
    plain = target((A, 0, False), (B, 0, False))
    assert measured(preds((A, 0.7, 0)), plain, interpolation="integral") == 0.5
    only = target((A, 0, False), (B, 1, True))
    assert measured(preds((A, 0.7, 0)), only) == 1.0  # class 1 has nothing to find


@pytest.mark.parametrize(("right", "expected"), [(3.0, 0.0), (3.001, 1.0)])
def test_the_overlap_must_exceed_the_threshold(right: float, expected: float) -> None:
    """40 pixels of 80, all of them shared."""
    whole, half = [0.0, 0, 7, 9], [0.0, 0, right, 9]
    assert measured(preds((half, 0.9, 0)), target((whole, 0, False))) == expected


def test_the_corners_belong_to_the_box() -> None:
    """11 by 10 pixels against 19 by 10 with them, 10 by 9 against 18 by 9 without: 11/19 and 10/18."""
    found, truth = preds(([0.0, 0, 10, 9], 0.9, 0)), target(([0.0, 0, 18, 9], 0, False))
    assert measured(found, truth, iou_threshold=0.57) == 1.0
    assert measured(found, truth, iou_threshold=0.58) == 0.0
    assert measured(found, truth, iou_threshold=0.57, inclusive=False) == 0.0
    assert measured(found, truth, iou_threshold=0.55, inclusive=False) == 1.0


def test_boxes_that_touch_share_nothing() -> None:
    """Counted inclusively two boxes on one pixel would share it, half of what both cover."""
    found, truth = preds(([4.0, 4, 4, 4], 0.9, 0)), target(([4.0, 4, 4, 4], 0, False))
    assert measured(found, truth) == 0.0


def test_classes_apart_and_classes_without_objects() -> None:
    metric = VOCAveragePrecision()
    metric.update([preds((A, 0.9, 7), (B, 0.9, 3))], [target((A, 2, False), (B, 3, False), (A, 5, False))])
    result = metric.compute()
    assert result["map_per_class"] == {2: 0.0, 3: 1.0, 5: 0.0}
    assert result["map"].item() == pytest.approx(1 / 3)
    assert result["map"].dtype is torch.float64


def test_what_is_found_in_an_image_without_objects_is_wrong() -> None:
    metric = VOCAveragePrecision(interpolation="integral")
    metric.update([preds((A, 0.9, 0)), preds((A, 0.8, 0)), preds()], [target(), target((A, 0, False)), target()])
    assert metric.compute()["map"].item() == 0.5


def test_no_object_at_all() -> None:
    metric = VOCAveragePrecision()
    metric.update([preds((A, 0.9, 0))], [target((A, 0, True))])
    result = metric.compute()
    assert math.isnan(result["map"].item())
    assert result["map_per_class"] == {}


SIDES = st.integers(0, 6)
CORNERS = st.tuples(SIDES, SIDES, st.integers(1, 6), st.integers(1, 6)).map(
    lambda each: [float(each[0]), float(each[1]), float(each[0] + each[2]), float(each[1] + each[3])]
)
LABELS = st.integers(0, 2)
IMAGE = st.tuples(
    st.lists(st.tuples(CORNERS, st.integers(0, 2**20), LABELS), max_size=6),
    st.lists(st.tuples(CORNERS, LABELS, st.booleans()), max_size=5),
)


def compared(images: list, options: dict[str, object]) -> None:
    expected = average_precision(
        images,
        interpolation=options["interpolation"],
        threshold=options.get("iou_threshold", 0.5),
        inclusive=options.get("inclusive", True),
    )
    metric = VOCAveragePrecision(**options)
    metric.update([preds(*found) for found, _ in images], [target(*truth) for _, truth in images])
    result = metric.compute()
    assert {label: value.item() for label, value in result["map_per_class"].items()} == pytest.approx(
        expected, abs=1e-12
    )
    if expected:
        assert result["map"].item() == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    images=st.lists(IMAGE, min_size=1, max_size=4).filter(
        lambda images: len({s for found, _ in images for _, s, _ in found}) == sum(len(found) for found, _ in images)
    ),
    interpolation=st.sampled_from(["11point", "integral"]),
    inclusive=st.booleans(),
    threshold=st.sampled_from([0.25, 0.5]),
)
def test_it_equals_plain_loops(images: list, interpolation: str, inclusive: bool, threshold: float) -> None:
    options = {"interpolation": interpolation, "inclusive": inclusive, "iou_threshold": threshold}
    compared(images, options)


def scene(seed: int, images: int = 30) -> list:
    """Many images, with detections near their objects, doubled, and invented."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(images):
        count = int(torch.randint(0, 6, (), generator=generator))
        corner = 80 * torch.rand(count + 2, 2, generator=generator)
        boxes = torch.cat([corner, corner + 8 + 30 * torch.rand(count + 2, 2, generator=generator)], 1)
        labels = torch.randint(4, (count + 2,), generator=generator).tolist()
        near = torch.cat([boxes, boxes[:2]]) + 3 * torch.randn(count + 4, 4, generator=generator)
        scores = torch.rand(count + 4, generator=generator).tolist()
        difficult = (torch.rand(count, generator=generator) < 0.2).tolist()
        truth = list(zip(boxes[:count].tolist(), labels, difficult, strict=False))
        found.append((list(zip(near.tolist(), scores, [*labels, *labels[:2]], strict=True)), truth))
    return found


@pytest.mark.parametrize("interpolation", ["11point", "integral"])
def test_many_images(interpolation: str) -> None:
    for seed in range(3):
        compared(scene(seed), {"interpolation": interpolation})


def test_the_two_interpolations_differ() -> None:
    images = scene(0)
    values = [average_precision(images, interpolation=name) for name in ("11point", "integral")]
    assert all(0.05 < value < 0.95 and abs(value - values[1][label]) > 1e-3 for label, value in values[0].items())


def updated(images: list, **options: object) -> VOCAveragePrecision:
    metric = VOCAveragePrecision(**options)
    for found, truth in images:
        metric.update([preds(*found)], [target(*truth)])
    return metric


def together(parts: list[VOCAveragePrecision]) -> list[dict[str, Tensor]]:
    """What each of several processes computes after their states were gathered as torchmetrics does it."""
    states = [
        {name: torch.cat(state) if state else torch.zeros(0) for name, state in part.metric_state.items()}
        for part in parts
    ]

    results = []
    for part in parts:
        names = iter(part.metric_state)
        part.dist_sync_fn = lambda _value, group=None, names=names: _gathered(states, next(names))  # noqa: ARG005
        part.distributed_available_fn = lambda: True
        results.append(part.compute())
        part.distributed_available_fn = lambda: False
    return results


def _gathered(states: list[dict[str, Tensor]], name: str) -> list[Tensor]:
    return [state[name] for state in states]


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")  # of the process without images
def test_several_processes_measure_as_one() -> None:
    images = scene(4)
    whole = updated(images).compute()
    parts = [updated(images[:20]), updated(images[20:]), updated([])]
    for result in together(parts):
        torch.testing.assert_close(result, whole)
    assert updated(images[:20]).compute()["map"] != whole["map"]


def test_states_have_one_type_and_survive_copies() -> None:
    images = scene(5)
    metric = updated(images)
    assert {each.dtype for state in metric.metric_state.values() for each in state} == {torch.float32}
    whole = metric.compute()
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        torch.testing.assert_close(other.compute(), whole)
    metric.reset()
    for found, truth in images[:7]:
        metric.update([preds(*found)], [target(*truth)])
    torch.testing.assert_close(metric.compute(), updated(images[:7]).compute())


def test_options_out_of_range() -> None:
    message = "unknown interpolation '11points'; expected 11point or integral. Did you mean '11point'?"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        VOCAveragePrecision(interpolation="11points")
    message = "no IoU can exceed the threshold; expected 0 <= iou_threshold < 1, got 1."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        VOCAveragePrecision(iou_threshold=1)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_was_measured() -> None:
    with pytest.raises(StillroomError, match=r"^no image was measured\. Call update\(\) first\.$"):
        VOCAveragePrecision().compute()


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ([preds()], [], "each image needs a target; expected 1, got 0."),
        (
            [{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1)}],
            [target()],
            "preds[0]: something is missing; expected boxes and scores and labels, got ['boxes', 'labels'].",
        ),
        (
            [preds(), preds()],
            [target(), {"boxes": torch.zeros(2, 4), "labels": torch.zeros(1)}],
            "target[1]: the shapes do not fit; expected boxes (K, 4), all others (K,), got boxes (2, 4), labels (1,).",
        ),
        (
            [preds()],
            [target() | {"difficult": torch.zeros(1)}],
            "target[0]: the shapes do not fit; expected boxes (K, 4), all others (K,), "
            "got boxes (0, 4), labels (0,), difficult (1,).",
        ),
    ],
)
def test_what_does_not_fit(found: list[Found], truth: list[Found], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        VOCAveragePrecision().update(found, truth)
