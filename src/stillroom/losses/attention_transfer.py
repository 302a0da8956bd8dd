"""Attention transfer: Zagoruyko, Komodakis, Paying More Attention to Attention, ICLR 2017."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.tensors import common_precision, detached, unit_samples

_SHAPES = MAPS._replace(equal=(0, 2, 3))


def attention_transfer(student: Tensor, teacher: Tensor, *, p: float = 2) -> Tensor:
    """The formula of :class:`AttentionTransfer`; the teacher gets its gradient too."""
    check_shapes(student, teacher, _SHAPES)
    student, teacher = common_precision(student, teacher)
    return F.mse_loss(attention(student, p), attention(teacher, p))


def attention(x: Tensor, p: float) -> Tensor:
    """Where a map is active: the mean over c of ``|x|^p``, each sample of unit norm. (N, C, H, W) in, (N, H, W) out."""
    powers = x.square() if p == 2 else x.abs().pow(p)
    return unit_samples(powers.mean(dim=1))


@final
class AttentionTransfer(nn.Module):
    """The student is to look where the teacher looks.

    ``a = mean over c of |x_c|^p``, flattened and divided by its L2 norm; the mean over N · H · W of ``(a_s − a_t)²``.
    That mean makes the value shrink as maps grow: weights of variants that sum over H · W do not transfer (with this
    one, RepDistiller takes 1000 for each stage). On maps of one pixel it is 0, whatever the values.

    Args:
        p: the power, at least 1, so that the gradient at 0 is finite.

    Shape:
        student: (N, C, H, W). teacher: (N, C', H, W): channels may differ; for sizes there are connectors. Returns ().

    Raises:
        StillroomError: for a p below 1, for anything but maps, and for a difference in N, H or W.

    Example:
        >>> AttentionTransfer()(torch.ones(1, 8, 1, 2), torch.tensor([[[[3.0, 0.0]]]]))
        tensor(0.2929)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=_SHAPES,
        paper="Zagoruyko, Komodakis, ICLR 2017",
        zero_at_equality=True,
        per_sample_mean=True,
        scale_invariant=True,
    )

    def __init__(self, *, p: float = 2) -> None:
        super().__init__()
        check_at_least("p", p, 1, "p is no power for an attention map")
        self.p = p

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return attention_transfer(student, detached(teacher), p=self.p)
