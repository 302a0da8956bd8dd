"""From image sets in memory to the sources of a data module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor

from stillroom.data.image_set import ImageSet
from stillroom.data.module import Sources
from stillroom.data.transforms import ShiftAndFlip, Standardise, image_tensor
from stillroom.errors import StillroomError

MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}


def in_memory(
    train: ImageSet,
    test: ImageSet,
    *,
    validation: ImageSet | int,
    limit_per_class: int | None,
    standardise: Standardise,
    augmentation: ShiftAndFlip | None,
    class_names: list[str],
) -> Sources:
    """Splits and limits the sets and puts their transforms together.

    Args:
        train: all there is to train on.
        test: the test set.
        validation: the validation set, or how many samples of ``train`` to hold out for it; 0: ``test`` is both.
        limit_per_class: train on so many samples of each class; None: on all.
        standardise: the last step of both transforms.
        augmentation: the first step of the training transform.
        class_names: in the order of the labels.

    Raises:
        StillroomError: the images have more or fewer channels than there are means.
    """
    if isinstance(validation, int):
        train, held_out = train.held_out(validation)
        validation = held_out if len(held_out) else test
    channels, height, width = train.images.shape[1:]
    if len(standardise.mean) != channels:
        raise StillroomError(
            "not one mean for each channel", where="mean", expected=channels, got=len(standardise.mean)
        )
    return Sources(
        train=train.limited(limit_per_class),
        validation=validation,
        test=test,
        augmented=standardise if augmentation is None else _Chain(augmentation, standardise),
        plain=standardise,
        class_names=class_names,
        open_image=partial(image_tensor, mode=MODES[channels], size=(height, width)),
    )


class _Chain:
    """One transform after the other; a class, since a spawned worker cannot be sent a nested function."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        self.steps = steps

    def __call__(self, image: Tensor) -> Tensor:
        for step in self.steps:
            image = step(image)
        return image
