"""Handwritten digits of 8x8 pixels that come with scikit-learn: nothing to download, trained on in seconds.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from typing import Any, cast

import torch

from stillroom.data.image_set import ImageSet, checked_limit
from stillroom.data.in_memory import in_memory
from stillroom.data.module import DataModule, Sources
from stillroom.data.transforms import ShiftAndFlip, Standardise


class Digits(DataModule):
    """1,797 gray images, 10 classes; 1,197 for training, 300 for validation, 300 for test, stratified and fixed.

    Inputs: float32 (1, 8, 8), standardised by the set's own mean and deviation.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        augment: shift training images by up to one pixel each way; does not pay in short trainings.
        limit_per_class: train on so many samples of each class; None: on all.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        augment: bool = False,
        limit_per_class: int | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.augment, self.limit_per_class = augment, checked_limit(limit_per_class)

    def read(self) -> Sources:
        from sklearn.datasets import load_digits  # half a second to import, for this set alone

        digits = cast("Any", load_digits())
        pixels = torch.tensor(digits.images, dtype=torch.float32) * (255 / 16)  # there are 17 shades of gray
        train, test = ImageSet.of(pixels, torch.tensor(digits.target)).held_out(300)
        return in_memory(
            train,
            test,
            validation=300,
            limit_per_class=self.limit_per_class,
            standardise=Standardise([0.3053], [0.3760]),
            augmentation=ShiftAndFlip(1, flip=False) if self.augment else None,
            class_names=[str(name) for name in digits.target_names],
        )
