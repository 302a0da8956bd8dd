"""The task of detectors: their own losses, and the average precision."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest
import torch
from detection_scenes import Found, Says, average_precision, scene
from torch import nn

from stillroom.algorithms import Classification, Detection, Evaluation, as_task
from stillroom.errors import StillroomError


def measured(targets: list[Found], found: list[Found], *, size: int) -> Evaluation:
    model, meter = Says(found), as_task("detection").meter()
    indices = torch.arange(len(targets)).float().view(-1, 1, 1, 1)
    for start in range(0, len(targets), size):
        part = slice(start, start + size)
        meter.update(model, {"images": indices[part], "targets": targets[part]}, {})
    return meter.compute()


@pytest.mark.parametrize("size", [1, 5, 12])
def test_the_precision_equals_one_counted_by_hand(size: int) -> None:
    targets, found = scene()
    by_class = [average_precision(targets, found, label) for label in range(3)]
    known = [value for value in by_class if value is not None]
    result = measured(targets, found, size=size)
    assert 0.1 < result.accuracy < 0.9
    assert result.accuracy == pytest.approx(sum(known) / len(known), abs=1e-6)
    assert (result.count, result.chance, result.metric) == (12, 0.0, "AP50")
    assert result.loss == pytest.approx(5.5)  # the mean over images, not over batches


def test_what_is_found_as_it_is_and_nothing_at_all() -> None:
    targets, _ = scene()
    perfect = [{**target, "scores": torch.ones(len(target["labels"]))} for target in targets]
    assert measured(targets, perfect, size=4).accuracy == pytest.approx(1.0)
    empty = [{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0).long()}] * len(targets)
    nothing = measured(targets, empty, size=4)
    assert nothing.accuracy == 0.0
    assert not nothing.beats_chance
    assert measured(targets, scene()[1], size=4).beats_chance


def test_a_meter_starts_anew() -> None:
    targets, found = scene()
    meter = as_task("detection").meter()
    inputs = {"images": torch.arange(12.0).view(-1, 1, 1, 1), "targets": targets}
    meter.update(Says(found), inputs, {})
    first = meter.compute()
    meter.reset()
    assert not meter.update_called
    meter.update(Says(found), inputs, {})
    assert meter.compute() == first


def test_the_loss_is_the_sum_or_the_one() -> None:
    task = Detection()
    one, two = torch.tensor(1.5), torch.tensor(2.0)
    assert task({"losses": {"a": one, "b": two}}, {}) == 3.5
    assert task({"loss": two}, {}) == 2.0


@pytest.mark.parametrize(
    ("output", "shown"), [({"losses": {}}, "a dict with losses"), ([1], "a list of 1"), (torch.ones(3, 2), "")]
)
def test_an_output_without_a_loss(output: object, shown: str) -> None:
    message = (
        'task: the student\'s output holds no loss; expected a mapping with "losses" or "loss", as detectors return '
        f"for images with targets, got {shown}"
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        Detection()(output, {})


def test_what_can_be_learned_from() -> None:
    task = as_task("detection")
    assert task.labelled({"images": 1, "targets": 2}, {})
    assert not task.labelled({"images": 1}, {"labels": 3})
    assert not task.labelled(torch.ones(2), {})


def test_other_classes() -> None:
    names = SimpleNamespace(sources=SimpleNamespace(class_names=["a", "b"]))
    model = nn.Linear(1, 1)
    as_task("detection").expect_classes(model, None, names, fix="")  # it does not say how many it has
    model.num_classes = 2
    as_task("detection").expect_classes(model, None, names, fix="")
    model.num_classes = 3
    message = (
        "the model's classes are not the data's; expected num_classes=2 for SimpleNamespace, got 3. Set its number."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        as_task("detection").expect_classes(model, None, names, fix="Set its number.")


def test_without_what_it_measures_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pycocotools", "faster_coco_eval"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("torchmetrics.detection.mean_ap._PYCOCOTOOLS_AVAILABLE", False)
    message = (
        'task: detections cannot be measured: pycocotools is not there. Install it: pip install "stillroom[detecti'
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        as_task("detection").meter()


def test_a_task_of_ones_own_and_a_loss_of_ones_own() -> None:
    own = Detection()
    assert as_task(own) is own
    loss = nn.MultiMarginLoss()
    made = as_task(loss)
    assert isinstance(made, Classification)
    assert made.loss is loss
