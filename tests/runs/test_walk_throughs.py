"""The two walk-throughs of the reference kit, end to end on a few real images: scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from stillroom.runs import load, read_recipe, train


@pytest.fixture(autouse=True)
def _latencies_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are of their own size: a batch of 64 to measure them by would take the most of the time."""
    monkeypatch.setattr("stillroom.runs.conclude.LATENCY_BATCH", 2)


QUICK = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.progress=false", "data.num_workers=0")


def digits(*, side: int, classes: int) -> tuple[np.ndarray, list[int]]:
    """Pixels (N, side, side, 3) as a photograph has them."""
    found = load_digits(n_class=classes)
    pixels = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) * (255 / 16)
    large = torch.nn.functional.interpolate(pixels, size=(side, side), mode="nearest").byte()
    return large.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy(), [int(label) for label in found.target]


def test_resnet34_teaches_resnet18_on_images_in_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher is a trained one: weights of torchvision's network, from a file."""
    monkeypatch.chdir(tmp_path)
    images, labels = digits(side=40, classes=3)
    for part, chosen in (("train", slice(0, 60)), ("val", slice(60, 90))):
        for place, (image, label) in enumerate(zip(images[chosen], labels[chosen], strict=True)):
            folder = tmp_path / "photos" / part / f"digit {label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{place}.png")
    torch.manual_seed(0)
    teacher = torchvision.models.resnet34(num_classes=3)
    torch.save(teacher.state_dict(), tmp_path / "resnet34.pth")
    words = [
        *QUICK,
        f"data.root={tmp_path / 'photos'}",
        "data.size=32",
        "data.resize=32",
        "data.batch_size=16",
        "student.num_classes=3",
        "teacher.model={class_path: torchvision.models.resnet34, init_args: {num_classes: 3}}",
        "teacher.weights=resnet34.pth",
        "teacher.check=false",
    ]
    run = train(read_recipe("imagenet-resnet34-resnet18", words), out="run")
    assert run.results.steps == 2
    rows = (tmp_path / "run" / "metrics.csv").read_text()
    assert "kl" in rows.splitlines()[0] and "task" in rows.splitlines()[0]
    again = load("run")
    assert type(again) is torchvision.models.ResNet
    assert sum(p.numel() for p in again.parameters()) == 11_178_051


def test_ofd_from_wrn_28_4_to_wrn_16_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher is trained first; its margins are those of what it has learned."""
    monkeypatch.chdir(tmp_path)
    images, labels = digits(side=32, classes=10)

    class Digits:
        """In the place of torchvision's CIFAR-10, which would have to be downloaded."""

        def __init__(self, folder: str, *, train: bool, download: bool) -> None:
            chosen = slice(0, 1200) if train else slice(1200, 1240)
            self.data, self.targets = images[chosen], labels[chosen]
            self.classes = [str(name) for name in range(10)]

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Digits)
    own = ["data.validation=40", "data.batch_size=8"]
    words = [*QUICK, *own, *(f"teacher.{word}" for word in (*QUICK, *own, "check=false"))]
    run = train(read_recipe("ofd-wrn28-4-wrn16-2-cifar10", words), out="run")
    assert run.results.model.parameters == 691_674
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    found = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    (values,) = (row for row in found if row["phase"] == "train")
    assert all(float(values[name]) > 0 for name in ("first", "second", "third", "task"))
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    (folder,) = (tmp_path / "runs" / "teachers").iterdir()
    from stillroom.connectors import OFDMargin

    expected = OFDMargin.of(load(folder).bn).margin
    assert torch.equal(state["distiller.teacher_connectors.third.margin"], expected)
