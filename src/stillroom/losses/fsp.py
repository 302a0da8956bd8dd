"""Flow of the solution procedure: Yim et al., A Gift from Knowledge Distillation, CVPR 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_count, check_shapes
from stillroom.losses.tensors import bmm, common_precision, detached, of_one_size

_SHAPES = MAPS._replace(equal=(0, 1))


def fsp(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The formula of :class:`FSP`; the teacher gets its gradient too."""
    check_count(student, teacher, 2, "pairs of maps")
    for map_s, map_t in zip(student, teacher, strict=True):
        check_shapes(map_s, map_t, _SHAPES)
    return F.mse_loss(*common_precision(flow(*student), flow(*teacher)))


def flow(a: Tensor, b: Tensor) -> Tensor:
    """The FSP matrix of two maps of one network: ``A Bᵀ / (H · W)`` for each sample.

    Shape:
        a: (N, Ca, Ha, Wa), b: (N, Cb, Hb, Wb); the larger is pooled to the smaller. Returns (N, Ca, Cb).
    """
    if a.shape[0] != b.shape[0]:
        got = f"first {tuple(a.shape)} and second {tuple(b.shape)}"
        raise StillroomError("the two maps of a pair differ in their batch", expected="the same N", got=got)
    a, b = of_one_size(*common_precision(a, b))
    return bmm(a.flatten(2), b.flatten(2).transpose(1, 2)) / (a.shape[2] * a.shape[3])


@final
class FSP(nn.Module):
    """How features flow from one stage to the next is to be the same in both networks.

    ``F(a, b) = A Bᵀ / (H · W)`` for each sample, with A (Ca, H · W) and B (Cb, H · W); the mean over N, Ca and Cb of
    ``(F_s − F_t)²``. The two maps of one network may differ in size: the larger is average-pooled to the smaller, as
    HobbitLong/RepDistiller does. The paper first trains this alone, and then the task alone.

    Shape:
        student: a pair of maps (N, Ca, H, W), (N, Cb, H', W'). teacher: another, with the same N, Ca and Cb and with
        sizes of its own. Returns ().

    Raises:
        StillroomError: for anything but two pairs, and for maps that differ in N or in C.

    Example:
        >>> FSP()((torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)), (torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)))
        tensor(1.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map pair",
        shapes=_SHAPES,
        paper="Yim et al., CVPR 2017",
        cost="Ca x Cb relations in each sample; epochs of its own first, without the task",
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        return fsp(student, detached(teacher))
