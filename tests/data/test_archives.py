"""The sets that torchvision reads, from tiny generated files in their formats."""

import hashlib
import pickle
import re
import struct
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from stillroom.data import CIFAR10, CIFAR100, MNIST, FashionMNIST
from stillroom.data.archives import data_folder
from stillroom.errors import StillroomError


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_mnist(folder, count=40):
    folder.mkdir(parents=True)
    for part, size in (("train", count), ("t10k", 10)):
        images, labels = pixels(size, 28, 28), (np.arange(size) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, size, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, size) + labels.tobytes())


def write_cifar(folder, monkeypatch, kind, key, names, batches):
    """torchvision compares md5 sums, so it is told those of the generated files."""
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(seed):
        return {"data": pixels(20, 3072, seed=seed), key: [index % len(names) for index in range(20)]}

    sums = [[name, write(name, batch(seed))] for seed, name in enumerate([*batches, "test"])]
    meta = {"filename": "meta", "key": "names", "md5": write("meta", {"names": names})}
    for attribute, value in (("train_list", sums[:-1]), ("test_list", sums[-1:]), ("meta", meta)):
        monkeypatch.setattr(kind, attribute, value)


@pytest.fixture
def offline(monkeypatch):
    def download(_):
        raise OSError("no network here")

    for kind in (torchvision.datasets.MNIST, torchvision.datasets.CIFAR10):
        monkeypatch.setattr(kind, "download", download)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_the_format_of_mnist_is_read(tmp_path, kind):
    write_mnist(tmp_path / kind.__name__ / "raw")
    data = kind(root=str(tmp_path), validation=10, batch_size=30)
    sources = data.sources
    assert [len(part) for part in (sources.train, sources.validation, sources.test)] == [30, 10, 10]
    assert sorted(sources.validation.labels.tolist()) == list(range(10))
    assert (data.num_classes, data.input_shape) == (10, (3, 28, 28))
    batch = next(iter(data.test_dataloader()))
    expected = torch.from_numpy(pixels(10, 28, 28)).float() / 255 * 2 - 1
    torch.testing.assert_close(batch["inputs"], expected.unsqueeze(1).expand(-1, 3, -1, -1), rtol=0, atol=1e-6)
    assert batch["labels"].tolist() == list(range(10))


def test_the_class_names_are_digits_and_clothes(tmp_path):
    for kind in (MNIST, FashionMNIST):
        write_mnist(tmp_path / kind.__name__ / "raw")
    assert MNIST(root=str(tmp_path), validation=1).class_names == list("0123456789")
    assert FashionMNIST(root=str(tmp_path), validation=1).class_names[:2] == ["T-shirt/top", "Trouser"]


def test_the_options_of_mnist(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    data = MNIST(root=str(tmp_path), channels=1, mean=0.1, std=2.0, validation=0, limit_per_class=2)
    assert torch.bincount(data.sources.train.labels).tolist() == [2] * 10
    assert data.sources.validation is data.sources.test
    expected = (torch.from_numpy(pixels(10, 28, 28)).float() / 255 - 0.1) / 2
    torch.testing.assert_close(data.sample(1)["inputs"], expected[:1].unsqueeze(1), rtol=0, atol=1e-6)


def test_an_image_file_becomes_an_input_of_mnist(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    Image.new("RGB", (50, 40), (255, 255, 255)).save(tmp_path / "white.png")
    (tmp_path / "text.png").write_text("no image")
    data = MNIST(root=str(tmp_path), validation=1)
    torch.testing.assert_close(data.transform_image(tmp_path / "white.png"), torch.ones(3, 28, 28))
    with pytest.raises(StillroomError, match=r"none\.png: there is no such image"):
        data.transform_image(tmp_path / "none.png")
    with pytest.raises(
        StillroomError, match=r"text\.png: the file is not an image that can be read; got cannot identify"
    ):
        data.transform_image(tmp_path / "text.png")


@pytest.mark.parametrize(
    ("kind", "key", "batches", "folder"),
    [
        (CIFAR10, "labels", [f"data_batch_{number}" for number in range(1, 6)], "cifar-10-batches-py"),
        (CIFAR100, "fine_labels", ["train"], "cifar-100-python"),
    ],
)
def test_the_format_of_cifar_is_read(tmp_path, monkeypatch, kind, key, batches, folder):
    names = [f"class {number}" for number in range(5)]
    write_cifar(tmp_path / folder, monkeypatch, getattr(torchvision.datasets, kind.__name__), key, names, batches)
    data = kind(root=str(tmp_path), validation=5)
    sources = data.sources
    assert [len(part) for part in (sources.train, sources.validation, sources.test)] == [20 * len(batches) - 5, 5, 20]
    assert (data.class_names, data.input_shape) == (names, (3, 32, 32))
    image = torch.from_numpy(pixels(20, 3072, seed=len(batches))[7].reshape(3, 32, 32)).float() / 255
    mean, std = sources.plain.mean / 255, sources.plain.std / 255
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(batch["inputs"][7], (image - mean) / std, rtol=0, atol=1e-5)
    assert 0.4 < mean.min() < mean.max() < 0.6
    assert 0.2 < std.min() < std.max() < 0.3


def test_the_means_of_cifar_may_be_others(tmp_path, monkeypatch):
    kind = torchvision.datasets.CIFAR100
    write_cifar(tmp_path / "cifar-100-python", monkeypatch, kind, "fine_labels", ["a", "b"], ["train"])
    plain = CIFAR100(root=str(tmp_path), validation=0, mean=[0.5] * 3, std=[0.25] * 3).sources.plain
    assert (plain.mean.flatten().tolist(), plain.std.flatten().tolist()) == ([127.5] * 3, [63.75] * 3)


def test_cifar_training_images_are_cropped_and_mirrored_unless_told_otherwise(tmp_path, monkeypatch):
    kind = torchvision.datasets.CIFAR100
    write_cifar(tmp_path / "cifar-100-python", monkeypatch, kind, "fine_labels", ["a", "b"], ["train"])

    def inputs(**options):
        return next(iter(CIFAR100(root=str(tmp_path), validation=0, **options).train_dataloader()))["inputs"]

    assert torch.equal(inputs(), inputs())
    assert not torch.equal(inputs(), inputs(augment=False))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10, CIFAR100])
def test_a_missing_set_is_one_clear_error(tmp_path, kind):
    name = kind.__name__
    with pytest.raises(StillroomError) as caught:
        kind(root=str(tmp_path)).prepare_data()
    assert str(caught.value) == (
        f"{tmp_path}: {name} is neither in this folder nor can it be downloaded; got OSError: no network here. "
        f"Set STILLROOM_DATA or data.root to the folder that torchvision.datasets.{name} reads."
    )


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10, CIFAR100])
def test_a_download_that_fails_is_one_line_and_leaves_no_folder(tmp_path, monkeypatch, kind):
    def refuse(*_, **__):
        raise URLError("no network\nhere")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    (tmp_path / "there").mkdir()
    for root in (tmp_path / "there", tmp_path / "not" / "there"):
        start = f"{root}: {kind.__name__} is neither in this folder nor can it be downloaded; got "
        with pytest.raises(
            StillroomError, match=f"^{re.escape(start)}.*<urlopen error no network here>.* Set "
        ) as told:
            kind(root=str(root)).prepare_data()
        assert "\n" not in str(told.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


@pytest.mark.usefixtures("offline")
def test_a_damaged_set_is_refused(tmp_path, monkeypatch):
    kind = torchvision.datasets.CIFAR100
    write_cifar(tmp_path / "cifar-100-python", monkeypatch, kind, "fine_labels", ["a", "b"], ["train"])
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"damaged")
    with pytest.raises(StillroomError, match="CIFAR100 is neither in this folder nor can it be downloaded"):
        CIFAR100(root=str(tmp_path)).setup("fit")


def test_a_missing_set_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", lambda _: write_mnist(tmp_path / "MNIST" / "raw"))
    data = MNIST(root=str(tmp_path), validation=1)
    assert not (tmp_path / "MNIST").exists()
    data.prepare_data()
    assert len(data.sources.train) == 39


def test_the_folder_is_the_one_given_else_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("STILLROOM_DATA", "/from/environment")
    assert str(data_folder("given")) == "given"
    assert str(data_folder(None)) == "/from/environment"
    monkeypatch.delenv("STILLROOM_DATA")
    assert str(data_folder(None)) == "data"
