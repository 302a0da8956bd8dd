"""OFD: what the teacher's map says of negative values."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map
from stillroom.errors import StillroomError, did_you_mean


def margins(gamma: Tensor, beta: Tensor) -> Tensor:
    """The mean of the negative values of each channel, a normal one of mean ``beta`` and deviation ``|gamma|``.

    ``m − s·φ(m/s) / Φ(−m/s)``; where less than one value in a thousand is negative, −3s, as the authors have it. The
    limit where gamma is 0: ``min(beta, 0)``.

    Shape:
        (C,) and (C,) to (C,), in float64 on the CPU: some devices have no such numbers.
    """
    s, m = gamma.cpu().double().abs(), beta.cpu().double()
    z = m / s.clamp_min(torch.finfo(s.dtype).tiny)
    negative = torch.special.ndtr(-z)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.where(negative > 1e-3, m - s * density / negative, -3 * s)


@final
class OFDMargin(nn.Module):
    """``max(x, margin_c)``: the teacher's map before its ReLU, with negative values cut at their channel's mean.

    The margins follow from the batch norm that made the map: scale and shift are the deviation and the mean of its
    output. They come from a teacher that has its final weights: with the path ``batch_norm`` whenever a distiller is
    prepared, else by ``OFDMargin.of(teacher.bn)`` or ``margin.fit(bn)``, or with a state dict. Until then they are NaN:
    what was forgotten is seen in the first loss.

    Args:
        channels: channels of the map, at least 1.
        batch_norm: path of the batch norm in the teacher.

    Shape:
        (N, channels, H, W) to the same.

    Raises:
        StillroomError: for channels below 1, for a feature of another shape, and in ``of`` and ``fit`` for a module
            without a scale and a shift for each channel.

    Reference:
        Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV 2019, equations 2 and 3.
    """

    margin: Tensor

    def __init__(self, channels: int, *, batch_norm: str | None = None) -> None:
        super().__init__()
        at_least(1, channels=channels)
        self.batch_norm = batch_norm
        self.register_buffer("margin", torch.full((channels,), torch.nan))

    @classmethod
    def of(cls, batch_norm: nn.Module) -> OFDMargin:
        """The margins of this batch norm's output, on its device and in its type."""
        gamma, _ = _affine(batch_norm)
        return cls(len(gamma)).to(gamma.device, gamma.dtype).fit(batch_norm)

    @torch.no_grad()
    def fit(self, batch_norm: nn.Module) -> OFDMargin:
        """Set the margins to those of this batch norm's output; returns itself."""
        gamma, beta = _affine(batch_norm)
        if gamma.shape != self.margin.shape:
            raise StillroomError(
                "the batch norm has another number of channels", expected=len(self.margin), got=len(gamma)
            )
        self.margin.copy_(margins(gamma, beta))
        return self

    def meet(self, teacher: nn.Module) -> None:
        """Take the margins from this teacher, where it is known which batch norm has them.

        Raises:
            StillroomError: the teacher has no such module.
        """
        if self.batch_norm is None:
            return
        modules = dict(teacher.named_modules())
        if self.batch_norm not in modules:
            raise StillroomError(
                f"{type(teacher).__name__} has no module {self.batch_norm!r}",
                where="batch_norm",
                fix=did_you_mean(self.batch_norm, [name for name in modules if name]),
            )
        self.fit(modules[self.batch_norm])

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, len(self.margin))
        return torch.maximum(feature, self.margin.to(feature.dtype).view(1, -1, 1, 1))

    def extra_repr(self) -> str:
        return f"channels={len(self.margin)}"


def _affine(batch_norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Also of a frozen batch norm, which keeps both as buffers."""
    gamma, beta = getattr(batch_norm, "weight", None), getattr(batch_norm, "bias", None)
    if isinstance(gamma, Tensor) and isinstance(beta, Tensor) and gamma.ndim == beta.ndim == 1:
        return gamma, beta
    raise StillroomError("a margin needs a batch norm with scale and shift for each channel", got=repr(batch_norm))
