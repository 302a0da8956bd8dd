"""CIFAR-10: small photographs.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

from collections.abc import Sequence

import torchvision

from stillroom.data.archives import read_archive
from stillroom.data.image_set import checked_limit
from stillroom.data.in_memory import in_memory
from stillroom.data.module import DataModule, Sources
from stillroom.data.transforms import ShiftAndFlip, Standardise


class CIFAR10(DataModule):
    """60,000 coloured images of 32x32 pixels, 10 classes; the 10,000 test images are those of the original split.

    Inputs: float32 (3, 32, 32), (pixel - mean) / std with pixels between 0 and 1.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``cifar-10-batches-py`` lies or is put; None: STILLROOM_DATA, else ``data``.
        augment: training images are padded by 4 pixels and cropped at random, and mirrored half of the time.
        mean: of each channel; by default that of the training set.
        std: of each channel; by default the deviation of the training set.
        validation: how many training images are held out, always the same; 0: the test set is the validation set, as
            in most published results.
        limit_per_class: train on so many images of each class; None: on all.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        root: str | None = None,
        augment: bool = True,
        mean: Sequence[float] = (0.4914, 0.4822, 0.4465),
        std: Sequence[float] = (0.2470, 0.2435, 0.2616),
        validation: int = 5000,
        limit_per_class: int | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.root, self.augment = root, augment
        self.standardise = Standardise(list(mean), list(std))
        self.validation, self.limit_per_class = validation, checked_limit(limit_per_class)

    def read(self) -> Sources:
        train, test, class_names = read_archive(torchvision.datasets.CIFAR10, self.root)
        return in_memory(
            train,
            test,
            validation=self.validation,
            limit_per_class=self.limit_per_class,
            standardise=self.standardise,
            augmentation=ShiftAndFlip(4, flip=True) if self.augment else None,
            class_names=class_names,
        )
