"""Noise in place of training data, and real data to be measured on."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.data import TensorDataset

from stillroom.data import COCO, Digits, Noise, Sets
from stillroom.errors import StillroomError


def batches(data: Noise, epoch: int = 0) -> list[dict[str, torch.Tensor]]:
    loader = data.train_dataloader()
    loader.batches.set_epoch(epoch)
    return list(loader)


def test_so_many_batches_without_labels() -> None:
    data = Noise(shape=(2, 3, 5), steps=4, batch_size=6)
    found = batches(data)
    assert [batch.keys() for batch in found] == [{"inputs", "index"}] * 4
    assert {tuple(batch["inputs"].shape) for batch in found} == {(6, 2, 3, 5)}
    assert sorted(torch.cat([batch["index"] for batch in found]).tolist()) == list(range(24))


def test_it_is_standard_normal_and_independent() -> None:
    images = torch.cat([batch["inputs"] for batch in batches(Noise(shape=(1, 8, 8), steps=10, batch_size=64))])
    deviation, mean = torch.std_mean(images)
    assert abs(mean) < 0.02
    assert abs(deviation - 1) < 0.02
    assert images.flatten(1).unique(dim=0).shape == (640, 64)


def test_an_image_follows_from_seed_epoch_and_index() -> None:
    def image(seed: int, epoch: int, batch_size: int, index: int = 3) -> torch.Tensor:
        data = Noise(shape=(1, 4, 4), steps=24 // batch_size, batch_size=batch_size)
        data.seed = seed
        whole = batches(data, epoch)
        return torch.cat([b["inputs"] for b in whole])[torch.cat([b["index"] for b in whole]) == index]

    first = image(5, 1, 6)
    assert torch.equal(image(5, 1, 8), first)
    for other in (image(6, 1, 6), image(5, 2, 6), image(5, 1, 6, 4)):
        assert not torch.equal(other, first)


def test_measured_on_the_data_that_is_given() -> None:
    digits = Digits(batch_size=7)
    data = Noise(shape=(1, 8, 8), steps=2, batch_size=50, validation=digits)
    assert (data.num_classes, data.class_names, data.input_shape) == (10, digits.class_names, (1, 8, 8))
    for mine, theirs in (
        (data.val_dataloader(), digits.val_dataloader()),
        (data.test_dataloader(), digits.test_dataloader()),
    ):
        mine, theirs = list(mine), list(theirs)
        assert len(mine[0]["labels"]) == 50  # its own batch size
        for key in ("inputs", "labels", "index"):
            assert torch.equal(torch.cat([b[key] for b in mine]), torch.cat([b[key] for b in theirs]))
    assert "labels" not in batches(data)[0]


def test_the_training_images_stay_noise_where_the_data_is_augmented() -> None:
    plain, augmented = (
        Noise(shape=(1, 8, 8), steps=1, validation=Digits(augment=augment)) for augment in (False, True)
    )
    assert torch.equal(batches(plain)[0]["inputs"], batches(augmented)[0]["inputs"])


def test_without_any_data_there_is_nothing_to_measure() -> None:
    data = Noise(shape=(1, 8, 8), steps=2, batch_size=5)
    assert data.example(3).shape == (3, 1, 8, 8)
    assert data.input_shape == (1, 8, 8)
    assert all("labels" not in batch for batch in data.val_dataloader())
    assert (data.sources.test, data.sources.class_names) == (None, None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps: an epoch has at least one batch; expected 1 or more, got 0."),
        ({"shape": []}, "shape: this is no shape; expected such as [3, 32, 32], got []."),
        ({"shape": [3, 0, 32]}, "shape: this is no shape; expected such as [3, 32, 32], got [3, 0, 32]."),
        (
            {"batch_size": 0},
            "a loader's number is out of range; expected batch_size >= 1, num_workers >= 0, "
            "got batch_size=0, num_workers=0.",
        ),
    ],
)
def test_bad_arguments(changed: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Noise(**{"shape": [1, 8, 8], "steps": 2, **changed})


def test_another_shape_than_that_of_the_data() -> None:
    message = (
        "shape: noise of this shape cannot stand for the images that the student is measured on; "
        "expected that of Digits, [1, 8, 8], got [3, 32, 32]."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Noise(shape=[3, 32, 32], steps=2, validation=Digits()).prepare_data()


def test_boxes_are_refused(shapes) -> None:
    boxes = COCO(root=str(shapes), splits=("train", "val", None), image_size=32, batch_size=2)
    message = r"^validation: noise can stand for images of one class each alone; got COCO\.$"
    with pytest.raises(StillroomError, match=message):
        Noise(shape=[3, 32, 32], steps=2, validation=boxes).prepare_data()


def test_sets_of_ones_own_can_be_measured_on() -> None:
    own = TensorDataset(torch.zeros(4, 2, 4, 4), torch.arange(4))
    data = Noise(shape=[2, 4, 4], steps=1, validation=Sets(own, own))
    assert data.num_classes == 4
    assert data.sources.test is None
