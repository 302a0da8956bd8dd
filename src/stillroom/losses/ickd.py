"""Inter-channel correlation: Liu et al., Exploring Inter-Channel Correlation for Diversity-Preserved KD, ICCV 2021."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.relations import similarities
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.tensors import common_precision, detached


def ickd(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`ICKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, MAPS)
    s, t = (similarities(x.flatten(2)) for x in common_precision(student, teacher))
    return (s - t).square().sum() / (s.shape[1] * s.shape[0] ** 2)


@final
class ICKD(nn.Module):
    """The student's channels are to be as alike, and as diverse, as the teacher's.

    For each sample ``G = f fᵀ`` over its flattened channels (C, C), each row divided by its L2 norm;
    ``Σ (G_s − G_t)² / (C · N²)``, as in the authors' ImageNet code. The second N makes the value shrink as the batch
    grows; their CIFAR code has ``C · N``, so its weight of 2.5 is 2.5 · N here. Of several processes, each counts the
    samples of its own batch.

    Shape:
        student, teacher: (N, C, H, W), usually the last maps, the student's after a 1 × 1 convolution. Returns ().

    Raises:
        StillroomError: for anything but maps, and for shapes that differ.

    Example:
        >>> ICKD()(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), torch.ones(1, 2, 1, 2))
        tensor(0.5858)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=MAPS,
        paper="Liu et al., ICCV 2021",
        connectors=("Conv1x1",),
        cost="C x C relations in each sample",
        zero_at_equality=True,
        scale_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return ickd(student, detached(teacher))
