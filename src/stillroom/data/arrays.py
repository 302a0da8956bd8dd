"""Images from one .npz file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch

from stillroom.data.archives import data_folder
from stillroom.data.image_set import ImageSet, checked_limit
from stillroom.data.in_memory import in_memory
from stillroom.data.module import DataModule, Sources
from stillroom.data.transforms import ShiftAndFlip, Standardise
from stillroom.errors import StillroomError

Array = npt.NDArray[Any]


class Arrays(DataModule):
    """The arrays ``train_images``, ``train_labels``, ``test_images`` and ``test_labels`` of an .npz file.

    It may hold ``val_images`` and ``val_labels``, too, and the classes' names as ``label_names``. Images are uint8
    (N, H, W) or (N, H, W, C) with 1 or 3 channels, labels whole numbers (N,) from 0.

    Inputs: float32 (C, H, W), (pixel - mean) / std with pixels between 0 and 1.

    Args:
        file: its name in the folder ``root``, or its full path.
        batch_size: per process.
        num_workers: loading processes.
        root: the folder; None: STILLROOM_DATA, else ``data``.
        shift: training images are shifted at random by up to so many pixels each way.
        flip: training images are mirrored half of the time.
        mean: of each channel; None: that of all training images.
        std: of each channel; None: the deviation of all training images.
        validation: how many training images are held out, always the same, where the file has no validation set; 0:
            the test set is the validation set.
        limit_per_class: train on so many images of each class; None: on all.
    """

    def __init__(  # noqa: PLR0913 - what every data module takes, and how images are prepared
        self,
        *,
        file: str,
        batch_size: int = 64,
        num_workers: int = 0,
        root: str | None = None,
        shift: int = 0,
        flip: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        validation: int = 1000,
        limit_per_class: int | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.path = data_folder(root) / file
        self.augmentation = ShiftAndFlip(shift, flip=flip) if shift or flip else None
        self.validation, self.limit_per_class = validation, checked_limit(limit_per_class)
        self.mean, self.std = mean, std

    def read(self) -> Sources:
        try:
            arrays = _loaded(self.path)
            train, test = _image_set(arrays, "train"), _image_set(arrays, "test")
            class_names = _class_names(arrays, [train, test])
            return in_memory(
                train,
                test,
                validation=_image_set(arrays, "val") if "val_images" in arrays else self.validation,
                limit_per_class=self.limit_per_class,
                standardise=_standardise(train, self.mean, self.std),
                augmentation=self.augmentation,
                class_names=class_names,
            )
        except StillroomError as error:
            raise error.at(str(self.path)) from None


def _loaded(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise StillroomError("there is no such file", fix="Set STILLROOM_DATA or data.root to the folder it lies in.")
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, BadZipFile, AttributeError) as error:  # the last one: a single array
        raise StillroomError("the file is not an .npz archive of plain arrays", got=error) from error


def _image_set(arrays: dict[str, Array], part: str) -> ImageSet:
    for name in (f"{part}_images", f"{part}_labels"):
        if name not in arrays:
            raise StillroomError("an array is missing", expected=name, got=", ".join(arrays) or "an empty archive")
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    gray, coloured = images.ndim == 3, images.ndim == 4 and images.shape[-1] in (1, 3)
    if images.dtype != np.uint8 or not (gray or coloured):
        raise StillroomError(
            f"{part}_images has another form",
            expected="uint8 (N, H, W) or (N, H, W, 1 or 3)",
            got=f"{images.dtype} {images.shape}",
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or (labels < 0).any():
        raise StillroomError(
            f"{part}_labels has another form",
            expected=f"whole numbers from 0, ({len(images)},)",
            got=f"{labels.dtype} {labels.shape}, the least {labels.min(initial=0)}",
        )
    return ImageSet.of(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _class_names(arrays: dict[str, Array], sets: list[ImageSet]) -> list[str]:
    count = 1 + max(int(labels.max()) for labels in (images.labels for images in sets))
    names = [str(name) for name in arrays.get("label_names", np.arange(count))]
    if len(names) < count:
        raise StillroomError("label_names is too short", expected=f"at least {count} names", got=len(names))
    return names


def _standardise(train: ImageSet, mean: Sequence[float] | None, std: Sequence[float] | None) -> Standardise:
    pixels = train.images.transpose(0, 1).flatten(1).to(torch.float32) / 255
    deviation = pixels.std(1, correction=0).clamp_min(1 / 255)  # a channel of one value stays finite
    return Standardise(pixels.mean(1).tolist() if mean is None else mean, deviation.tolist() if std is None else std)
