"""ReviewKD: each stage of the student is fused with all that are deeper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import at_least, pair, unreadable
from stillroom.connectors.conv_norm_act import ConvNormAct
from stillroom.connectors.resize import resized
from stillroom.errors import StillroomError


@final
class AttentionFusion(nn.Module):
    """All stages of the student, from the deepest to the shallowest, each fused with what came from below it.

    At a stage x, with y from the next deeper one: ``x' = 1x1(x)``; y is enlarged to its size; ``a, b =
    σ(1x1([x', y]))``, one map each; ``f = a·x' + b·y``, resized to the teacher's size. f goes on to the next shallower
    stage, and its 3x3 is what the teacher's stage is compared with. At the deepest stage ``f = x'``. The resizing is by
    nearest neighbour; each convolution is followed by a batch norm, except that of the attention, which has a bias.

    Args:
        in_channels: channels of the student's stages, shallow to deep; the pooled vector is the last, as a 1x1 map.
        out_channels: channels of the teacher's stages, in the same order.
        sizes: sizes of the teacher's stages (a number, or height and width), 1 for the pooled vector; None keeps the
            student's own.
        mid_channels: channels of the fused maps; None for those of the student's deepest stage, at most 512.

    Shape:
        A tuple of (N, in_channels[i], H_i, W_i), where a vector (N, in_channels[i]) stands for a 1x1 map, to a tuple
        of (N, out_channels[i], *sizes[i]) in the same order.

    Raises:
        StillroomError: for numbers out of range, sequences of different lengths, and features of another number or
            shape.

    Reference:
        Chen et al., Distilling Knowledge via Knowledge Review, CVPR 2021, section 3.3 and figure 4 (ABF).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        *,
        sizes: Sequence[int | tuple[int, int]] | None = None,
        mid_channels: int | None = None,
    ) -> None:
        super().__init__()
        counts = [len(in_channels), len(out_channels), len(in_channels if sizes is None else sizes)]
        if not counts[0] or len(set(counts)) > 1:
            names = "in_channels, out_channels and sizes"
            raise StillroomError(f"{names} must have one entry for each stage", got=f"{counts} entries")
        for name, widths in (("in_channels", in_channels), ("out_channels", out_channels)):
            at_least(1, **{f"{name}[{i}]": width for i, width in enumerate(widths)})
        middle = min(512, in_channels[-1]) if mid_channels is None else mid_channels
        at_least(1, mid_channels=middle)
        self.sizes = None if sizes is None else tuple(pair(f"sizes[{i}]", size) for i, size in enumerate(sizes))
        self.in_channels = tuple(in_channels)
        last = counts[0] - 1
        self.stages = nn.ModuleList(
            _Stage(have, middle, want, fuses=i < last)
            for i, (have, want) in enumerate(zip(in_channels, out_channels, strict=True))
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not isinstance(features, tuple | list) or len(features) != len(self.stages):
            raise unreadable(self, features, f"a tuple of {len(self.stages)}, shallow to deep")
        outputs: list[Tensor] = []
        below: Tensor | None = None
        for i in reversed(range(len(self.stages))):
            size = None if self.sizes is None else self.sizes[i]
            output, below = self.stages[i](self._map(i, features[i]), below, size)
            outputs.append(output)
        return tuple(reversed(outputs))

    def _map(self, i: int, feature: Tensor) -> Tensor:
        x = feature[:, :, None, None] if feature.ndim == 2 else feature
        if x.ndim == 4 and x.shape[1] == self.in_channels[i]:
            return x
        raise unreadable(self, feature, f"a map (N, {self.in_channels[i]}, H, W) as stage {i}")

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}"


class _Stage(nn.Module):
    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, *, fuses: bool) -> None:
        super().__init__()
        self.reduce = ConvNormAct(in_channels, mid_channels)
        self.attention = nn.Conv2d(2 * mid_channels, 2, 1) if fuses else None
        self.expand = ConvNormAct(mid_channels, out_channels, kernel_size=3)
        for block in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(block.conv.weight, a=1)  # the authors' start

    def forward(self, x: Tensor, below: Tensor | None, size: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        fused = self.reduce(x)
        if self.attention is not None and below is not None:
            height, width = fused.shape[2:]
            below = resized(below, (height, width), "nearest")
            share = torch.sigmoid(self.attention(torch.cat((fused, below), dim=1)))
            fused = fused * share[:, :1] + below * share[:, 1:]
        fused = fused if size is None else resized(fused, size, "nearest")
        return self.expand(fused), fused
