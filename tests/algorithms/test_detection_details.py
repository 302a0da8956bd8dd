"""What a detector is measured in besides the metric."""

from __future__ import annotations

import pytest
import torch
from detection_scenes import Found, Says, average_precision, scene
from torch import nn

from stillroom.algorithms import Evaluation, Offline, as_task
from stillroom.distillers import Distiller
from stillroom.metrics import VOCAveragePrecision

COCO = {"AP", "AP75", *(f"AP {size}" for size in ("small", "medium"))}
RECALLS = {f"AR {which}" for which in (1, 10, 100, "small", "medium")}
CHALLENGE = {"AP50 11-point", "AP50 area"}


def measured(targets: list[Found], found: list[Found], *, details: bool = True, side: int = 1) -> Evaluation:
    meter = as_task("detection").meter(details=details)
    images = torch.arange(len(targets)).float().view(-1, 1, 1, 1).expand(-1, 1, side, side)
    meter.update(Says(found), {"images": images, "targets": targets}, {})
    return meter.compute()


def test_the_metric_is_the_same_with_and_without_the_rest() -> None:
    targets, found = scene()
    short, whole = (measured(targets, found, details=details) for details in (False, True))
    assert (short.details, short.per_class) == ({}, {})
    assert whole.accuracy == pytest.approx(short.accuracy, abs=1e-7)
    assert (whole.loss, whole.count) == (short.loss, short.count)
    assert set(whole.details) == COCO | RECALLS | CHALLENGE  # nothing is large
    assert 0 < whole.details["AP75"] < whole.details["AP"] < whole.accuracy < 1


def test_each_class_equals_one_counted_by_hand() -> None:
    targets, found = scene()
    whole = measured(targets, found)
    assert list(whole.per_class) == [0, 1, 2]
    for label, told in whole.per_class.items():
        assert told["AP50"] == pytest.approx(average_precision(targets, found, label), abs=1e-6)
        assert list(told) == ["AP50", "AP50 11-point", "AP50 area", "AP"]
    for name, mean in (("AP50", whole.accuracy), *((name, whole.details[name]) for name in (*CHALLENGE, "AP"))):
        assert sum(told[name] for told in whole.per_class.values()) / 3 == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(("name", "interpolation"), [("AP50 11-point", "11point"), ("AP50 area", "integral")])
def test_the_measures_of_voc_are_its_own(name: str, interpolation: str) -> None:
    targets, found = scene()
    own = VOCAveragePrecision(interpolation=interpolation, inclusive=False)
    own.update(found, targets)
    value = own.compute()
    whole = measured(targets, found)
    assert whole.details[name] == pytest.approx(float(value["map"]))
    assert {label: told[name] for label, told in whole.per_class.items()} == pytest.approx(
        {label: float(each) for label, each in value["map_per_class"].items()}
    )


def found_of(target: Found, keep: slice = slice(None)) -> Found:
    labels = target["labels"][keep]
    return {"boxes": target["boxes"][keep], "labels": labels, "scores": torch.linspace(0.9, 0.5, len(labels))}


def two_objects(**more: torch.Tensor) -> Found:
    boxes = torch.tensor([[0.0, 0, 20, 20], [40, 40, 60, 60]])
    return {"boxes": boxes, "labels": torch.tensor([0, 0]), **more}


def test_small_and_large_go_by_the_area_of_the_object() -> None:
    target = two_objects()
    assert measured([target], [found_of(target)]).details.keys() >= {"AP small"}
    outlined = two_objects(area=torch.tensor([5000.0, 20000.0]))
    details = measured([outlined], [found_of(outlined)]).details
    assert "AP small" not in details
    assert (details["AP medium"], details["AP large"]) == pytest.approx((1, 1))


def test_difficult_objects_are_ignored_by_voc_alone() -> None:
    target = two_objects(difficult=torch.tensor([False, True]))
    both, one = measured([target], [found_of(target)]), measured([target], [found_of(target, slice(1))])
    assert both.details["AP50 11-point"] == one.details["AP50 11-point"] == 1
    assert both.accuracy == pytest.approx(1)
    assert one.accuracy == pytest.approx(51 / 101)
    plain = measured([two_objects()], [found_of(target, slice(1))])
    assert plain.details["AP50 area"] == pytest.approx(0.5)


def test_regions_of_many_objects_need_not_be_found() -> None:
    target = two_objects(iscrowd=torch.tensor([0, 1]))
    for keep in (slice(None), slice(1)):
        whole = measured([target], [found_of(target, keep)])
        assert [whole.accuracy, *(whole.details[name] for name in CHALLENGE)] == pytest.approx([1, 1, 1])


def test_sizes_are_those_of_the_file() -> None:
    """An object of 20x20 pixels in an input of 100x100, the file being 400x800: there it has 80x160."""
    target = two_objects(original_size=torch.tensor([400, 800]))
    here, there = (measured([each], [found_of(target)], side=100) for each in (two_objects(), target))
    assert {name for name in here.details if name.startswith("AP ")} == {"AP small"}
    assert {name for name in there.details if name.startswith("AP ")} == {"AP large"}
    assert here.accuracy == there.accuracy == pytest.approx(1)


def test_nothing_found_and_nothing_to_find() -> None:
    targets, _ = scene()
    empty = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0).long()}
    nothing = measured(targets, [empty] * len(targets))
    assert nothing.accuracy == 0
    assert set(nothing.details.values()) == {0.0}
    assert [set(told.values()) for told in nothing.per_class.values()] == [{0.0}] * 3
    bare = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}
    none = measured([bare], [scene()[1][0]])
    assert (none.accuracy, none.details, none.per_class) == (0, {}, {})


def test_a_meter_of_details_starts_anew() -> None:
    targets, found = scene()
    meter = as_task("detection").meter(details=True)
    inputs = {"images": torch.arange(12.0).view(-1, 1, 1, 1), "targets": targets}
    meter.update(Says(found), inputs, {})
    first = meter.compute()
    meter.reset()
    meter.update(Says(found), inputs, {})
    assert meter.compute() == first


class Two(nn.Module):
    """A detector whose loss has two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: torch.Tensor, targets: object) -> object:
        return {"losses": {"centre": self.weight * images.mean(), "size": self.weight**2}}


def test_a_step_tells_what_the_task_loss_is_made_of() -> None:
    algorithm = Offline(Distiller(Two()), optimizer=torch.optim.SGD, task="detection", task_weight=0.5)
    step = algorithm.taught({"inputs": {"images": torch.ones(1, 3, 2, 2), "targets": [{}]}})
    assert {name: float(part) for name, part in step["parts"].items()} == {
        "task": 6.0,
        "task.centre": 2.0,
        "task.size": 4.0,
    }
    assert step["weights"] == {"task": 0.5, "task.centre": 0.5, "task.size": 0.5}
    assert step["loss"].item() == 3.0  # nothing counts twice
    assert not any(part.requires_grad for part in step["parts"].values())


@pytest.mark.parametrize("output", [{"loss": torch.ones(())}, {"losses": {"all": torch.ones(())}}, torch.ones(1)])
def test_a_loss_that_is_one_thing_has_no_parts(output: object) -> None:
    assert as_task("detection").parts(output) == {}
    assert as_task("cross_entropy").parts(output) == {}
