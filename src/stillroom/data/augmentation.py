"""Chance in the training of detectors: what YOLOv3 is trained with.

W. Liu et al.: SSD: Single Shot MultiBox Detector, ECCV 2016, for colour, expansion and crop; Z. Zhang et al.: Bag of
Freebies for Training Object Detection Neural Networks, arXiv 1902.04103, 2019, for mixup and the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as images

from stillroom.data.box_images import BoxImages, per_box
from stillroom.data.mixup import MixedImages
from stillroom.data.samples import PerBatch, Source
from stillroom.errors import StillroomError

Item = dict[str, Any]
Change = Callable[[Any], Any]
Range = tuple[float, float]

STRIDE = 32
"""Detectors halve their images five times."""
TRIES = 50
FILL = (124, 116, 104)
"""ImageNet's mean colour."""
KINDS = tuple(v2.InterpolationMode(name) for name in ("nearest", "bilinear", "box", "bicubic", "lanczos"))
"""Of interpolation; box is what OpenCV calls area."""


@dataclass(frozen=True, kw_only=True)
class DetectionAugmentation:
    """What is done to training images and their boxes, in this order; each draw comes from the key of the sample.

    1. In the first ``mixup_epochs`` epochs an image is mixed with another one of the set, and its boxes count as much
       as is to be seen of it.
    2. Hue, saturation, contrast and brightness change, each half of the time, in any order. Contrast is the distance
       from the mean grey; brightness is a factor, which PaddleDetection calls contrast (its own brightness adds one
       step of 255, which nobody sees).
    3. Half of the time the image is put anywhere on a canvas whose sides are up to ``expand`` times as long, in
       ImageNet's mean colour.
    4. A part is cut out, 0.3 to 1 of the sides, at most twice as long as wide, that has an IoU of at least 0, .1, .3,
       .5, .7 or .9 with some box, or it is left whole: torchvision's ``RandomIoUCrop`` with 50 tries. Boxes whose
       centre is in the part are cut to it, others left out, and those that are less than a pixel wide or high.
       PaddleDetection draws one scale and a ratio and tries each threshold once; here both sides are drawn and
       a threshold that fails may come again.
    5. It is mirrored half of the time, unless the data says ``flip: false``.
    6. All images of a batch are resized to one of ``sizes``, their shape not kept, by one of five interpolations; both
       drawn from the key (seed, epoch, batch), so that all processes of a step have the same size. Pillow's, which
       look at all pixels where an image becomes smaller.

    Args:
        mixup_epochs: the first ones, in which images are mixed; 0: never.
        mixup: alpha of Beta(alpha, alpha), from which shares of images are drawn; above 0.
        hue: it is turned by up to so many degrees, either way; at most 180.
        saturation: least and largest factor.
        contrast: likewise.
        brightness: likewise.
        expand: at least 1; 1: images are not put onto a canvas.
        crop: whether parts are cut out.
        sizes: of the images of a batch, multiples of 32.
    """

    mixup_epochs: int = 0
    mixup: float = 1.5
    hue: float = 18.0
    saturation: Range = (0.5, 1.5)
    contrast: Range = (0.5, 1.5)
    brightness: Range = (0.5, 1.5)
    expand: float = 4.0
    crop: bool = True
    sizes: Sequence[int] = (320, 352, 384, 416, 448, 480, 512, 544, 576, 608)

    def check(self) -> None:
        """Refuses what is out of range; not when it is made, where readers of recipes would bury the message.

        Raises:
            StillroomError: names the argument.
        """
        ranges = {name: getattr(self, name) for name in ("saturation", "contrast", "brightness")}
        for name, right, expected in (
            ("mixup_epochs", self.mixup_epochs >= 0, "0 or more"),
            ("mixup", self.mixup > 0, "above 0"),
            ("hue", 0 <= self.hue <= 180, "0 to 180 degrees"),
            *((name, 0 <= least <= most, "0 <= least <= largest") for name, (least, most) in ranges.items()),
            ("expand", self.expand >= 1, "1 or more"),
            (
                "sizes",
                bool(self.sizes) and all(size >= STRIDE and size % STRIDE == 0 for size in self.sizes),
                f"multiples of {STRIDE}",
            ),
        ):
            if not right:
                where, got = f"augmentation.{name}", getattr(self, name)
                raise StillroomError("the value is out of range", where=where, expected=expected, got=got)

    def source(self, images: BoxImages) -> Source:
        """The items to train on, which may be mixed."""
        return MixedImages(images, epochs=self.mixup_epochs, alpha=self.mixup) if self.mixup_epochs else images

    def per_sample(self, *, flip: bool) -> v2.Compose:
        """What changes an item, up to its size."""
        steps: list[Change] = [
            Recolour(hue=self.hue, saturation=self.saturation, contrast=self.contrast, brightness=self.brightness)
        ]
        if self.expand > 1:
            steps.append(v2.RandomZoomOut(fill=list(FILL), side_range=(1.0, self.expand)))
        if self.crop:
            steps.append(Crop())
        if flip:
            steps.append(v2.RandomHorizontalFlip())
        return v2.Compose(steps)

    def per_batch(self, to_input: Change) -> PerBatch:
        """What makes an item one of its batch; ``to_input`` makes a tensor of it."""
        return ResizeBatch(self.sizes, to_input)


class Recolour:
    """Changes hue (in degrees, either way), saturation, contrast and brightness (least and largest factor).

    Each of them half of the time, in any order.
    """

    def __init__(self, *, hue: float, saturation: Range, contrast: Range, brightness: Range) -> None:
        turn = hue / 360
        self.changes: list[tuple[Callable[..., Any], Range]] = [
            (images.adjust_hue, (-turn, turn)),
            (images.adjust_saturation, saturation),
            (images.adjust_contrast, contrast),
            (images.adjust_brightness, brightness),
        ]

    def __call__(self, item: Item) -> Item:
        order, places = torch.randperm(len(self.changes)).tolist(), torch.rand(len(self.changes)).tolist()
        chosen = (torch.rand(len(self.changes)) < 0.5).tolist()
        image = item["images"]
        for number in order:
            if chosen[number]:
                change, (least, most) = self.changes[number]
                image = change(image, least + (most - least) * places[number])
        return {**item, "images": image}


class ResizeBatch:
    """Resizes the items of a batch alike: to one of ``sizes``, by one of the interpolations in ``KINDS``."""

    def __init__(self, sizes: Sequence[int], to_input: Change) -> None:
        self.sizes, self.to_input = tuple(sizes), to_input

    def __call__(self, item: Item, draws: torch.Generator) -> Item:
        size, kind = self.sizes[_below(len(self.sizes), draws)], KINDS[_below(len(KINDS), draws)]
        return self.to_input(v2.Resize([size, size], interpolation=kind)(item))


def _below(count: int, draws: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draws))


class Crop:
    """A part of the image; see :class:`DetectionAugmentation`. An image without boxes is left as it is."""

    def __init__(self) -> None:
        self.crop = v2.RandomIoUCrop(trials=TRIES)
        self.sanitize = v2.SanitizeBoundingBoxes(labels_getter=_told_of_boxes)

    def __call__(self, item: Item) -> Item:
        if not len(item["targets"]["boxes"]) or min(item["images"].size) < 4:  # torchvision would divide by 0
            return item
        return self.sanitize(self.crop(item))


def _told_of_boxes(item: Item) -> list[Any]:
    return [item["targets"][name] for name in per_box(item["targets"]) if name != "boxes"]
