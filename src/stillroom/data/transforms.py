"""The few transforms of images in memory: small tensors, where torchvision's own take six times as long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as images

from stillroom.errors import StillroomError


class Standardise:
    """Pixels from 0 to 255 to ``(pixel / 255 - mean) / std`` in float32.

    Args:
        mean: per channel, for pixels from 0 to 1.
        std: likewise; all above 0.
        channels: how many channels come out; a single one is repeated. None: as many as came in.

    Shape:
        (C, H, W) of any dtype to (C, H, W), or to (channels, H, W).

    Raises:
        StillroomError: there are other numbers of means and deviations, or a deviation is not above 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, channels: int | None = None) -> None:
        if len(mean) != len(std) or min(std, default=0.0) <= 0:
            raise StillroomError(
                "these are no means and deviations of channels",
                expected="one of each for each channel, deviations above 0",
                got=f"mean={list(mean)}, std={list(std)}",
            )
        self.mean, self.std = (torch.tensor(values).mul(255).view(-1, 1, 1) for values in (mean, std))
        self.channels = channels

    def __call__(self, image: Tensor) -> Tensor:
        image = image.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)
        return image if self.channels is None else image.expand(self.channels, -1, -1)


class ShiftAndFlip:
    """Moves an image by up to ``shift`` pixels each way over black, and mirrors it half of the time.

    The same as padding by ``shift`` on all sides and taking a random crop of the old size.

    Args:
        shift: in pixels.
        flip: mirror left and right, too.

    Shape:
        (C, H, W) to (C, H, W).
    """

    def __init__(self, shift: int, *, flip: bool) -> None:
        self.shift, self.flip = shift, flip

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        places = 2 * self.shift + 1
        place = int(torch.randint(places * places * 2, ()))  # one draw for all three choices is twice as fast
        top, left = divmod(place // 2, places)
        image = F.pad(image, [self.shift] * 4)[:, top : top + height, left : left + width]
        return image.flip(-1) if self.flip and place % 2 else image


def image_tensor(path: Path, mode: Literal["L", "RGB"], size: tuple[int, int]) -> Tensor:
    """An image file as pixels from 0 to 255, made gray or coloured and resized to (height, width).

    Shape:
        uint8 (1 or 3, height, width).
    """
    with Image.open(path) as image:
        return images.pil_to_tensor(image.convert(mode).resize(size[::-1], Image.Resampling.BILINEAR))
