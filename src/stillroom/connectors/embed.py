"""A unit vector for each sample, in which students and teachers of any shape can be compared."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.connectors.checks import at_least, unreadable
from stillroom.connectors.precision import at_least_float32


@final
class Embed(nn.Module):
    """``e / max(‖e‖₂, 1e-12)`` of ``e = Linear(flatten(x))``: the embedding of CRD.

    The authors divide without the lower bound, and get NaN for a vector of zeros.

    Args:
        in_features: numbers in one sample: D of vectors, C·H·W of flattened maps, C of pooled ones.
        dim: length of the embedding.
        pool: first average all that follows the channels, so that maps of any size fit.

    Shape:
        (N, in_features), or anything with so many numbers per sample (with ``pool``: so many channels), to (N, dim).

    Raises:
        StillroomError: for numbers below 1, and for a feature with more or fewer numbers.

    Reference:
        Tian et al., Contrastive Representation Distillation, ICLR 2020, section 3.4.
    """

    def __init__(self, in_features: int, dim: int = 128, *, pool: bool = False) -> None:
        super().__init__()
        at_least(1, in_features=in_features, dim=dim)
        self.pool = pool
        self.linear = nn.Linear(in_features, dim)

    def forward(self, feature: Tensor) -> Tensor:
        if feature.ndim < 2:
            raise self._refusal(feature)
        flat = feature.flatten(2).mean(2) if self.pool and feature.ndim > 2 else feature.flatten(1)
        if flat.shape[1] != self.linear.in_features:
            raise self._refusal(feature)
        embedding = self.linear(flat)
        return F.normalize(at_least_float32(embedding), dim=1, eps=1e-12).to(embedding.dtype)

    def extra_repr(self) -> str:
        return f"pool={self.pool}"

    def _refusal(self, feature: Tensor) -> Exception:
        what = "channels" if self.pool else "numbers per sample"
        return unreadable(self, feature, f"{self.linear.in_features} {what}, batch first")
