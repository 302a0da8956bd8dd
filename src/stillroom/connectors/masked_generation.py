"""MGD: the teacher's map is generated from a part of the student's."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map, one_of
from stillroom.errors import StillroomError

Per = Literal["space", "channel"]


@final
class MaskedGeneration(nn.Module):
    """Drops a random part of the student's map, from which two convolutions generate the teacher's.

    A 1x1 convolution aligns the channels where they differ; the mask is 0 with probability ``mask_ratio`` and is drawn
    anew in every step of training; in evaluation nothing is dropped. Then 3x3, ReLU, 3x3. The values that are kept are
    not scaled up, unlike in dropout.

    Args:
        in_channels: channels of the student's map, at least 1.
        out_channels: channels of the teacher's map, at least 1.
        mask_ratio: the fraction that is dropped, in [0, 1): the paper has 0.65 for one-stage detectors, 0.45 for
            two-stage ones, 0.75 for segmentation, 0.15 for classification.
        per: ``"space"`` drops pixels in all channels at once, ``"channel"`` whole channels (classification).

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H, W).

    Raises:
        StillroomError: for arguments out of range, and for a feature of another shape.

    Reference:
        Yang et al., Masked Generative Distillation, ECCV 2022, section 3.
    """

    def __init__(self, in_channels: int, out_channels: int, *, mask_ratio: float = 0.65, per: Per = "space") -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels)
        one_of("per", per, ["space", "channel"])
        if not 0 <= mask_ratio < 1:
            raise StillroomError(
                "mask_ratio is the fraction that is dropped", expected="0 <= mask_ratio < 1", got=mask_ratio
            )
        self.in_channels, self.mask_ratio, self.per = in_channels, mask_ratio, per
        self.align = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.generator = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.in_channels)
        aligned = self.align(feature)
        return self.generator(aligned * self._kept(aligned) if self.training else aligned)

    def extra_repr(self) -> str:
        return f"mask_ratio={self.mask_ratio:g}, per={self.per!r}"

    def _kept(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        shape = (n, 1, h, w) if self.per == "space" else (n, c, 1, 1)
        return torch.rand(shape, device=x.device) >= self.mask_ratio
