"""Random images in place of training data: for teachers whose data is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stillroom.data.module import DataModule, Sources
from stillroom.errors import StillroomError


class Noise(DataModule):
    """Images of independent standard normal numbers, without labels, to train on; real ones to be measured on.

    Each image is drawn from (seed, epoch, index), another one in each epoch. Data-free algorithms make images of their
    own and ask of these only how many there are.

    Args:
        shape: of one image, such as (3, 32, 32).
        steps: batches of an epoch, which several processes share.
        batch_size: per process.
        num_workers: loading processes.
        validation: where validation and test images, class names and the transform of image files come from; its
            training set is not used. None: there are none; noise stands where an input is asked for, and nothing is
            measured.

    Raises:
        StillroomError: ``steps`` or ``shape`` is out of range; when it is read: ``validation`` has inputs of another
            shape, or boxes.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        steps: int,
        batch_size: int = 64,
        num_workers: int = 0,
        validation: DataModule | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        if steps < 1:
            raise StillroomError("an epoch has at least one batch", where="steps", expected="1 or more", got=steps)
        if not shape or min(shape) < 1:
            raise StillroomError("this is no shape", where="shape", expected="such as [3, 32, 32]", got=list(shape))
        self.shape, self.steps, self.validation = tuple(shape), steps, validation

    def read(self) -> Sources:
        images = _Images(self.shape, self.steps * self.batch_size)
        if self.validation is None:
            return Sources(train=images, validation=_Images(self.shape, self.batch_size), test=None)
        measured, kind = self.validation.sources, type(self.validation).__name__
        if measured.collate is not None:
            raise StillroomError("noise can stand for images of one class each alone", where="validation", got=kind)
        if self.validation.input_shape != self.shape:
            raise StillroomError(
                "noise of this shape cannot stand for the images that the student is measured on",
                where="shape",
                expected=f"that of {kind}, {list(self.validation.input_shape)}",
                got=list(self.shape),
            )
        return replace(measured, train=images, augmented=None)


class _Images:
    """Draws from torch's default generator, which has been given the key of the sample."""

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        self.shape, self.count = shape, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Tensor:
        return torch.randn(self.shape)
