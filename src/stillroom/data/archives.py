"""Where data sets lie, and those that torchvision reads and downloads."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from stillroom.data.image_set import ImageSet
from stillroom.errors import StillroomError


class Archive(Protocol):
    """What torchvision's small image sets have in common."""

    data: Any
    targets: Any
    classes: list[str]


def data_folder(root: str | None) -> Path:
    """``root``, else what the environment variable STILLROOM_DATA says, else ``data``."""
    return Path(root or os.environ.get("STILLROOM_DATA") or "data")


def read_archive(kind: Callable[..., Archive], root: str | None) -> tuple[ImageSet, ImageSet, list[str]]:
    """The training set, the test set and the classes' names, downloaded where they are missing.

    Args:
        kind: the class of the set, such as ``torchvision.datasets.MNIST``.
        root: the folder that it reads; see ``data_folder``.

    Raises:
        StillroomError: the set is not in the folder, or is damaged, and cannot be downloaded.
    """
    train, test = (_read(kind, data_folder(root), train=train) for train in (True, False))
    return _images(train), _images(test), train.classes


def _read(kind: Callable[..., Archive], folder: Path, *, train: bool) -> Archive:
    try:
        return kind(folder, train=train, download=False)
    except RuntimeError:  # torchvision's word for 'not found or corrupted'
        pass
    name = getattr(kind, "__name__", str(kind))
    missing = [path for path in (folder / name / "raw", folder / name, folder, *folder.parents) if not path.exists()]
    try:
        return kind(folder, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise StillroomError(
            f"{name} is neither in this folder nor can it be downloaded",
            where=str(folder.resolve()),
            got=" ".join(f"{type(error).__name__}: {error}".split()).rstrip("."),
            fix=f"Set STILLROOM_DATA or data.root to the folder that torchvision.datasets.{name} reads.",
        ) from error
    finally:
        for path in missing:
            with suppress(OSError):  # it holds the set, or a part of it that another attempt goes on from
                path.rmdir()


def _images(archive: Archive) -> ImageSet:
    return ImageSet.of(torch.as_tensor(archive.data), torch.as_tensor(archive.targets, dtype=torch.int64))
