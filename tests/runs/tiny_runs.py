"""Trainings that take a fraction of a second."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from stillroom.errors import StillroomError
from stillroom.models import SmallCNN
from stillroom.runs import Recipe, read_recipe

TINY = (
    "student.width=2",
    "trainer.max_epochs=2",
    "trainer.progress=false",
    "scheduler=null",
    "teacher.model.width=8",
    "teacher.trainer.max_epochs=2",
    "teacher.trainer.progress=false",
    "teacher.scheduler=null",
)
QUIET = {"progress": False}


def tiny(*overrides: str, teacher: str | None = None) -> Recipe:
    """The recipe of the digits, with a teacher that is better than chance after two epochs."""
    words = [word for word in TINY if teacher is None or not word.startswith("teacher.")]
    return read_recipe("digits", [*words, *overrides], teacher=teacher)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv, apart from the seconds."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    header = lines[0].split(",")
    found = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    for row in found:
        assert float(row.pop("seconds")) >= 0
    return found


class Stripes(Dataset):
    """Three classes of stripes that any network learns in an epoch or two."""

    def __init__(self, count: int = 96, *, labelled: bool = True, seed: int = 0) -> None:
        self.targets = [index % 3 for index in range(count)]
        self.labelled = labelled
        self.images = 0.1 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        for index, label in enumerate(self.targets):
            self.images[index, 0, :, label * 2] += 2

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> object:
        return (self.images[index], self.targets[index]) if self.labelled else self.images[index]


def network(width: int = 4, *, seed: int = 0, classes: int = 3) -> SmallCNN:
    torch.manual_seed(seed)
    return SmallCNN(num_classes=classes, width=width)


def trained_network() -> SmallCNN:
    """A teacher that knows the stripes."""
    model, data = network(8, seed=1), Stripes()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(data.images), torch.tensor(data.targets)).backward()
        optimizer.step()
    return model


def same_bits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def refused(place: Path, message: str, call: Callable[[], object]) -> None:
    """The call ends with this message and leaves every file of the place as it was."""
    before = files(place)
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        call()
    assert files(place) == before
