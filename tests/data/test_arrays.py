import re

import numpy as np
import pytest
import torch

from stillroom.data import Arrays
from stillroom.errors import StillroomError

RANDOM = np.random.default_rng(0)


def arrays(shape=(6, 5, 3), **changed):
    """40 training and 8 test images of 4 classes; a value of None leaves the array out."""
    made = {
        "train_images": RANDOM.integers(0, 256, (40, *shape), dtype=np.uint8),
        "train_labels": np.arange(40) % 4,
        "test_images": RANDOM.integers(0, 256, (8, *shape), dtype=np.uint8),
        "test_labels": np.arange(8) % 4,
        **changed,
    }
    return {name: array for name, array in made.items() if array is not None}


def module(folder, made, **options):
    np.savez(folder / "some.npz", **made)
    return Arrays(**{"file": "some.npz", "root": str(folder), "validation": 8, **options})


def test_the_parts_and_their_images(tmp_path):
    made = arrays()
    data = module(tmp_path, made)
    sources = data.sources
    assert [len(part) for part in (sources.train, sources.validation, sources.test)] == [32, 8, 8]
    assert torch.bincount(sources.validation.labels).tolist() == [2] * 4
    assert (data.num_classes, data.class_names, data.input_shape) == (4, ["0", "1", "2", "3"], (3, 6, 5))
    scaled = made["train_images"] / 255
    expected = (made["test_images"] / 255 - scaled.mean((0, 1, 2))) / scaled.std((0, 1, 2))
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(batch["inputs"].double(), torch.tensor(expected).permute(0, 3, 1, 2), rtol=0, atol=1e-5)
    assert batch["labels"].tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1)])
def test_gray_images_have_one_channel(tmp_path, shape):
    assert module(tmp_path, arrays(shape)).input_shape == (1, 6, 5)


def test_a_validation_set_of_the_file_is_used(tmp_path):
    made = arrays(val_images=np.full((4, 6, 5, 3), 7, np.uint8), val_labels=np.array([3, 3, 3, 3], np.uint8))
    sources = module(tmp_path, made).sources
    assert (len(sources.train), sources.validation.labels.tolist()) == (40, [3, 3, 3, 3])


def test_names_limits_and_augmentation(tmp_path):
    made = arrays(label_names=np.array(["a", "b", "c", "d", "e"]))
    data = module(tmp_path, made, limit_per_class=3, shift=2, flip=True, batch_size=12)
    assert data.class_names == list("abcde")
    plain = module(tmp_path, made, limit_per_class=3, batch_size=12)
    inputs = [next(iter(each.train_dataloader()))["inputs"] for each in (data, plain)]
    assert inputs[0].shape == inputs[1].shape == (12, 3, 6, 5)
    assert not torch.equal(*inputs)


def test_a_channel_of_one_value_stays_finite(tmp_path):
    data = module(
        tmp_path, arrays(train_images=np.full((40, 6, 5), 9, np.uint8), test_images=np.zeros((8, 6, 5), np.uint8))
    )
    assert next(iter(data.test_dataloader()))["inputs"].isfinite().all()


def test_means_and_deviations_may_be_given(tmp_path):
    made = arrays()
    data = module(tmp_path, made, mean=[0.5, 0.5, 0.5], std=[0.25, 0.5, 1.0])
    image = torch.tensor(made["test_images"][3] / 255 - 0.5).permute(2, 0, 1)
    expected = image / torch.tensor([0.25, 0.5, 1.0]).view(3, 1, 1)
    found = next(iter(data.test_dataloader()))["inputs"][3]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    message = "some.npz.mean: not one mean for each channel; expected 3, got 1."
    with pytest.raises(StillroomError, match=re.escape(message)):
        module(tmp_path, made, mean=[0.5], std=[0.5]).sources  # noqa: B018 - it is read then


def test_a_full_path_needs_no_root(tmp_path):
    module(tmp_path, arrays())
    assert Arrays(file=str(tmp_path / "some.npz"), validation=8).num_classes == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"test_labels": None},
            "an array is missing; expected test_labels, got train_images, train_labels, test_images",
        ),
        ({"val_images": np.zeros((1, 6, 5, 3), np.uint8)}, "an array is missing; expected val_labels"),
        (
            {"train_images": np.zeros((40, 6, 5))},
            r"train_images .*; expected uint8 \(N, H, W\) .*got float64 \(40, 6, 5\)",
        ),
        (
            {"test_images": np.zeros((8, 3, 6, 5), np.uint8)},
            r"test_images has another form; .*got uint8 \(8, 3, 6, 5\)",
        ),
        (
            {"train_labels": np.arange(39)},
            r"train_labels .*; expected whole numbers from 0, \(40,\), got int64 \(39,\)",
        ),
        ({"train_labels": np.ones(40)}, r"got float64 \(40,\)"),
        ({"test_labels": np.arange(8) - 1}, r"got int64 \(8,\), the least -1"),
        ({"label_names": np.array(["a", "b"])}, "label_names is too short; expected at least 4 names, got 2"),
        ({"label_names": np.array([{}], dtype=object)}, "the file is not an .npz archive of plain arrays"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changed, message):
    with pytest.raises(StillroomError, match=f"some.npz.*{message}"):
        module(tmp_path, arrays(**changed)).setup("fit")


def test_too_large_a_validation_set_is_refused(tmp_path):
    with pytest.raises(StillroomError, match=r"some.npz: .*held out for validation; expected 0 to 39, got 1000"):
        module(tmp_path, arrays(), validation=1000).setup("fit")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(StillroomError, match=r"some.npz: the file is not an \.npz archive of plain arrays"):
        Arrays(file="some.npz", root=str(tmp_path)).setup("fit")


def test_one_array_is_not_an_archive(tmp_path):
    np.save(tmp_path / "some.npy", np.zeros(3))
    with pytest.raises(StillroomError, match=r"some.npy: the file is not an \.npz archive of plain arrays"):
        Arrays(file="some.npy", root=str(tmp_path)).setup("fit")


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(StillroomError, match=r"some.npz: there is no such file. Set STILLROOM_DATA or data.root"):
        Arrays(file="some.npz", root=str(tmp_path)).setup("fit")
