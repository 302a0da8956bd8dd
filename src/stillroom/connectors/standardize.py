"""Each channel with mean 0 and variance 1 over the batch."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import unreadable
from stillroom.connectors.precision import at_least_float32
from stillroom.errors import StillroomError


@final
class Standardize(nn.Module):
    """Each channel minus its mean, divided by its deviation, over the batch and the pixels: ``(x − μ) / √(σ² + eps)``.

    Batch norm without scale, shift and running statistics; σ² is the biased variance. It is the same in training and
    evaluation, and learns nothing, so that it suits the teacher's side as well. A channel of a single value becomes 0.
    Every process of a distributed run uses the statistics of its own part of the batch.

    Args:
        eps: added to the variance, more than 0.

    Shape:
        (N, C, H, W) or (N, D) to the same.

    Raises:
        StillroomError: for an eps that is not above 0, and for a feature of another rank.
    """

    def __init__(self, *, eps: float = 1e-5) -> None:
        super().__init__()
        if not 0 < eps < math.inf:
            raise StillroomError("eps must be a finite number above 0", got=eps)
        self.eps = eps

    def forward(self, feature: Tensor) -> Tensor:
        if feature.ndim not in (2, 4):
            raise unreadable(self, feature, "a map (N, C, H, W) or vectors (N, D)")
        wide = at_least_float32(feature)
        axes = [0, *range(2, feature.ndim)]
        variance, mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
        return ((wide - mean) * torch.rsqrt(variance + self.eps)).to(feature.dtype)

    def extra_repr(self) -> str:
        return f"eps={self.eps:g}"
