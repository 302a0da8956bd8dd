"""Random masking inside a model: what a delivery can make the same for teacher and student."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError


def draw_visible(images: Tensor, patch: int, hidden: float) -> Tensor:
    """Which pixels stay visible: each square patch of each image is hidden with probability ``hidden``.

    Args:
        images: of which the shape and the device count.
        patch: side of a patch in pixels.
        hidden: probability, 0 to 1.

    Shape:
        (N, C, H, W) in, (N, 1, H, W) of 0 and 1 out; patches at the right and lower edge may be cut.
    """
    rows, columns = (-(-size // patch) for size in images.shape[-2:])
    kept = torch.rand(len(images), 1, rows, columns, device=images.device) >= hidden
    pixels = kept.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    return pixels[..., : images.shape[-2], : images.shape[-1]].to(images.dtype)


class HiddenPatches(nn.Module):
    """A network that sees its images through a random mask while it trains.

    As a teacher it must go on hiding in eval mode (``always``), so that it can tell what is to be seen in the patches
    that the student sees: deliver ``stillroom.models.hidden_patches.draw_visible``, or teacher and student look at
    different parts of an image.

    Args:
        network: takes images (N, C, H, W).
        patch: side of a patch in pixels, at least 1.
        hidden: probability with which a patch is hidden, from 0 to below 1.
        always: hide in eval mode, too.

    Raises:
        StillroomError: a number is out of range.
    """

    def __init__(self, network: nn.Module, *, patch: int = 2, hidden: float = 0.25, always: bool = False) -> None:
        super().__init__()
        if patch < 1 or not 0 <= hidden < 1:
            raise StillroomError(
                "this mask hides nothing or everything",
                expected="patch >= 1, 0 <= hidden < 1",
                got=f"patch={patch}, hidden={hidden}",
            )
        self.network = network
        self.patch, self.hidden, self.always = patch, hidden, always

    def forward(self, images: Tensor) -> Tensor:
        if self.training or self.always:
            images = images * draw_visible(images, self.patch, self.hidden)
        return self.network(images)
