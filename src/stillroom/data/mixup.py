"""Two images laid over each other, with the boxes of both.

H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018; for detectors
Z. Zhang et al.: Bag of Freebies for Training Object Detection Neural Networks, arXiv 1902.04103, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from stillroom.data.box_images import BoxImages, per_box, within
from stillroom.data.samples import Source


class MixedImages(Source):
    """Images of which each is mixed with another one in the first epochs.

    The other one, and the share of the first, which is from Beta(alpha, alpha), are drawn from torch's generator.

    Args:
        images: to mix.
        epochs: so many of them, the first ones.
        alpha: above 0; the larger, the closer the shares are to a half.
    """

    def __init__(self, images: BoxImages, *, epochs: int, alpha: float) -> None:
        self.images, self.epochs = images, epochs
        self.shares = torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha))

    @property
    def remarks(self) -> list[str]:
        return self.images.remarks

    def in_epoch(self, epoch: int) -> Source:
        return self if epoch < self.epochs else self.images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        further = 1 + int(torch.randint(max(len(self) - 1, 1), ()))
        other = (index + further) % len(self)
        return mixed(self.images[index], self.images[other], share=float(self.shares.sample()))


def mixed(one: Mapping[str, Any], other: Mapping[str, Any], *, share: float) -> dict[str, Any]:
    """``share`` of the pixels of ``one`` and the rest of ``other``, in a black frame as large as both.

    Both begin in the top left corner. The boxes of both are there, with scores multiplied by how much of their image
    is to be seen; what is told of an image as a whole is told of the first.

    Args:
        one, other: as of :class:`~stillroom.data.box_images.BoxImages`.
        share: from 0 to 1.
    """
    width, height = (max(sides) for sides in zip(one["images"].size, other["images"].size, strict=True))
    over, under = (_framed(each["images"], (width, height)) for each in (one, other))
    first, second = one["targets"], other["targets"]
    joined = {name: torch.cat([first[name], second[name]]) for name in per_box(first)}
    joined["scores"] = torch.cat([first["scores"] * share, second["scores"] * (1 - share)])
    joined["boxes"] = within(joined["boxes"], (height, width))
    return {"images": Image.blend(under, over, share), "targets": {**first, **joined}}


def _framed(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    frame = Image.new("RGB", size)
    frame.paste(image)
    return frame
