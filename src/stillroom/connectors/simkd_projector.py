"""SimKD: the student's last map for the teacher's classifier."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map
from stillroom.connectors.conv_norm_act import ConvNormAct
from stillroom.errors import StillroomError


@final
class SimKDProjector(nn.Module):
    """1x1 to ``out_channels // factor``, 3x3, 1x1 to ``out_channels``, each with batch norm and ReLU.

    The student that is used afterwards contains it, and the teacher's classifier: count its parameters.

    Args:
        in_channels: channels of the student's last map, at least 1.
        out_channels: channels of the teacher's last map, at least ``factor``.
        factor: how many times narrower the middle is than the teacher's map.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H, W). Where the maps differ in size, pool the larger one.

    Raises:
        StillroomError: for numbers out of range, and for a feature of another shape.

    Reference:
        Chen et al., Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022, section 3.2.
    """

    def __init__(self, in_channels: int, out_channels: int, *, factor: int = 2) -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels, factor=factor)
        if factor > out_channels:
            raise StillroomError("factor leaves no channel in the middle", expected=f"1 to {out_channels}", got=factor)
        middle = out_channels // factor
        self.reduce = ConvNormAct(in_channels, middle, activation="relu")
        self.mix = ConvNormAct(middle, middle, kernel_size=3, activation="relu")
        self.expand = ConvNormAct(middle, out_channels, activation="relu")

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.reduce.conv.in_channels)
        return self.expand(self.mix(self.reduce(feature)))
