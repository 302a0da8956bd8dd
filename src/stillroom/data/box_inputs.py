"""How images with boxes become the inputs of a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torchvision.transforms import v2

from stillroom.data.augmentation import DetectionAugmentation
from stillroom.data.box_images import BoxImages, collate_boxes
from stillroom.data.boxes import Annotated, opened
from stillroom.data.module import Sources
from stillroom.errors import StillroomError

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, kw_only=True)
class BoxInputs:
    """Squares of one size, float32, the shape of the image not kept; see the arguments of :class:`~stillroom.data.VOC`.

    Raises:
        StillroomError: an argument is out of range.
    """

    image_size: int
    interpolation: Interpolation
    flip: bool
    mean: Sequence[float] | None
    std: Sequence[float] | None
    augmentation: DetectionAugmentation | None

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise StillroomError("the size is too small", where="image_size", expected="1 or more", got=self.image_size)
        given = (self.mean, self.std)
        right = given == (None, None) or all(each is not None and len(each) == 3 for each in given)
        if not right or min(self.std or (1.0,)) <= 0:
            raise StillroomError(
                "these are no means and deviations of colours",
                expected="three of each, deviations above 0, or neither",
                got=f"mean={self.mean}, std={self.std}",
            )
        if self.augmentation is not None:
            self.augmentation.check()

    def sources(
        self,
        train: Sequence[Annotated],
        validation: Sequence[Annotated],
        test: Sequence[Annotated] | None,
        *,
        class_names: list[str],
    ) -> Sources:
        """The sets as they are trained on and evaluated.

        Raises:
            StillroomError: a set has no boxes at all.
        """
        for name, items in (("training", train), ("validation", validation), ("test", test)):
            if items is not None and not any(len(item.boxes) for item in items):
                raise StillroomError(f"the {name} set has no boxes", got=f"{len(items)} images without any")
        images, chance = BoxImages(train), self.augmentation
        mirror = [v2.RandomHorizontalFlip()] if self.flip else []
        return Sources(
            train=images if chance is None else chance.source(images),
            validation=BoxImages(validation, trained_on=images.labels),
            test=None if test is None else BoxImages(test, trained_on=images.labels),
            augmented=(
                v2.Compose([self._resize, *mirror, *self._to_input])
                if chance is None
                else chance.per_sample(flip=self.flip)
            ),
            per_batch=None if chance is None else chance.per_batch(v2.Compose(self._to_input)),
            plain=v2.Compose([self._resize, *self._to_input]),
            class_names=class_names,
            open_image=opened,
            collate=collate_boxes,
        )

    @property
    def _resize(self) -> Callable[[Any], Any]:
        return v2.Resize([self.image_size] * 2, interpolation=v2.InterpolationMode(self.interpolation))

    @property
    def _to_input(self) -> list[Callable[[Any], Any]]:
        standard = [] if self.mean is None or self.std is None else [v2.Normalize(list(self.mean), list(self.std))]
        return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), *standard, v2.ToPureTensor()]
