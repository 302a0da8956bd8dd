"""Neuron selectivity transfer: Huang, Wang, Like What You Like, arXiv 1707.01219, with the kernel of degree 2."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.relations import gram
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.tensors import bmm, common_precision, detached, unit

_SHAPES = MAPS._replace(equal=(0, 2, 3))


def nst(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`NST`; the teacher gets its gradient too."""
    check_shapes(student, teacher, _SHAPES)
    s, t = (unit(x.flatten(2), 2) for x in common_precision(student, teacher))
    if s.shape[2] <= max(s.shape[1], t.shape[1]):
        # Both sums of (xᵀy)² are inner products of H·W × H·W matrices, the smaller ones here, and so is the whole.
        difference = gram(s.transpose(1, 2)) / s.shape[1] - gram(t.transpose(1, 2)) / t.shape[1]
        return difference.square().sum() / len(s)
    return mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)


def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
    """The mean over N and over all pairs of channels of ``(xᵀy)²``. (N, Ca, HW), (N, Cb, HW) in, () out."""
    return bmm(a, b.transpose(1, 2)).square().mean()


@final
class NST(nn.Module):
    """The student's channels are to be distributed over patterns as the teacher's are, in whatever order and number.

    The squared maximum mean discrepancy between the channels of a sample: with x a channel divided by its L2 norm over
    H · W and ``k(x, y) = (xᵀy)²``, ``mean k(s, s) + mean k(t, t) − 2 · mean k(s, t)`` over N and the pairs of channels.
    All stages, with a weight of 50 each, are usual. Memory holds N · min(C², (H · W)²) numbers at most.

    Shape:
        student: (N, C, H, W). teacher: (N, C', H, W): channels may differ; for sizes there are connectors. Returns ().

    Raises:
        StillroomError: for anything but maps, and for a difference in N, H or W.

    Example:
        >>> NST()(torch.tensor([[[[5.0, 0.0]]]]), torch.tensor([[[[0.0, 7.0]], [[0.0, 1.0]]]]))
        tensor(2.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=_SHAPES,
        paper="Huang, Wang, arXiv 1707.01219",
        cost="C x C relations in each sample, or (H · W)² if fewer",
        zero_at_equality=True,
        per_sample_mean=True,
        scale_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return nst(student, detached(teacher))
