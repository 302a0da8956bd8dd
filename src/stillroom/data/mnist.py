"""MNIST: handwritten digits.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition, 1998.
"""

from __future__ import annotations

from typing import Literal

import torchvision

from stillroom.data.archives import read_archive
from stillroom.data.image_set import checked_limit
from stillroom.data.in_memory import in_memory
from stillroom.data.module import DataModule, Sources
from stillroom.data.transforms import Standardise


class MNIST(DataModule):
    """70,000 gray images of 28x28 pixels, 10 classes; the 10,000 test images are those of the original split.

    Inputs: float32 (channels, 28, 28).

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``MNIST/raw`` lies or is put; None: STILLROOM_DATA, else ``data``.
        channels: 3 repeats the gray channel for models that want colours.
        mean: subtracted from pixels between 0 and 1.
        std: what the difference is divided by.
        validation: how many training images are held out, always the same; 0: the test set is the validation set.
        limit_per_class: train on so many images of each class; None: on all.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        root: str | None = None,
        channels: Literal[1, 3] = 3,
        mean: float = 0.5,
        std: float = 0.5,
        validation: int = 5000,
        limit_per_class: int | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.root, self.validation, self.limit_per_class = root, validation, checked_limit(limit_per_class)
        self.standardise = Standardise([mean], [std], channels=channels)

    def read(self) -> Sources:
        train, test, _ = read_archive(torchvision.datasets.MNIST, self.root)
        return in_memory(
            train,
            test,
            validation=self.validation,
            limit_per_class=self.limit_per_class,
            standardise=self.standardise,
            augmentation=None,
            class_names=[str(digit) for digit in range(10)],
        )
