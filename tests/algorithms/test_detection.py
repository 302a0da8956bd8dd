"""The task of detectors: their own losses, and the average precision."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from stillroom.algorithms import Classification, Detection, Evaluation, as_task
from stillroom.errors import StillroomError

Found = dict[str, Tensor]


class Says(nn.Module):
    """A detector that finds what it is told, and whose loss is the number of images it is given."""

    def __init__(self, found: list[Found]) -> None:
        super().__init__()
        self.found = found

    def forward(self, images: Tensor, targets: list[Found] | None = None) -> object:
        where = images.flatten(1)[:, 0].int().tolist()
        return [self.found[index] for index in where] if targets is None else {"loss": images.mean()}


def random_boxes(generator: torch.Generator, count: int) -> Tensor:
    corner = 60 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + 10 + 30 * torch.rand(count, 2, generator=generator)], 1)


def scene(images: int = 12, classes: int = 3) -> tuple[list[Found], list[Found]]:
    """Targets, and detections of which some fit, some are shifted, some doubled, some invented."""
    generator = torch.Generator().manual_seed(0)
    targets, found = [], []
    for _ in range(images):
        count = int(torch.randint(0, 6, (), generator=generator))
        boxes, labels = random_boxes(generator, count), torch.randint(classes, (count,), generator=generator)
        near = torch.cat([boxes, boxes[:2]])
        near = near + 5 * torch.randn(near.shape, generator=generator)
        invented = random_boxes(generator, 3)
        seen = torch.cat([labels, labels[:2], torch.randint(classes, (3,), generator=generator)])
        scores = torch.rand(len(seen), generator=generator)
        targets.append({"boxes": boxes, "labels": labels})
        found.append({"boxes": torch.cat([near, invented]), "scores": scores, "labels": seen})
    return targets, found


def iou(a: list[float], b: list[float]) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    return shared / (sum(areas) - shared)


def average_precision(targets: list[Found], found: list[Found], label: int) -> float | None:
    """COCO's, by hand: detections by score, each takes the best box left; precision at 101 recalls."""
    boxes = [[b.tolist() for b, k in zip(t["boxes"], t["labels"], strict=True) if k == label] for t in targets]
    total = sum(map(len, boxes))
    if not total:
        return None
    every = [
        (score.item(), image, box.tolist())
        for image, each in enumerate(found)
        for box, score, k in zip(each["boxes"], each["scores"], each["labels"], strict=True)
        if k == label
    ]
    right, points = 0, []
    for number, (_, image, box) in enumerate(sorted(every, reverse=True), 1):
        overlaps = [iou(box, other) for other in boxes[image]]
        if overlaps and max(overlaps) >= 0.5:
            del boxes[image][overlaps.index(max(overlaps))]
            right += 1
        points.append((right / total, right / number))
    recalls = [step / 100 for step in range(101)]
    return sum(max((p for r, p in points if r >= recall - 1e-12), default=0.0) for recall in recalls) / 101


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
