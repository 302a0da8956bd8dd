"""SimKD: Chen et al., Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022, equation 1."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.tensors import common_precision, detached, of_one_size

_SHAPES = MAPS._replace(equal=(0, 1))


def simkd(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`SimKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, _SHAPES)
    return F.mse_loss(*of_one_size(*common_precision(student, teacher)))


@final
class SimKD(nn.Module):
    """The student's projected last map is to equal the teacher's, whose classifier then reads it.

    ``(s − t)²``, mean over every element; maps that differ in size are average-pooled to the smaller. It is the only
    loss of its method: no cross entropy, and the student that is used holds the projector and the teacher's
    classifier, as :class:`stillroom.models.SimKDStudent` does.

    Shape:
        student: (N, C, H, W). teacher: (N, C, H', W'). Returns ().

    Raises:
        StillroomError: for another N or C.

    Example:
        >>> SimKD()(torch.zeros(1, 1, 1, 1), torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]))  # (0 - 2)²
        tensor(4.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=_SHAPES,
        paper="Chen et al., CVPR 2022",
        connectors=("SimKDProjector",),
        cost="the student keeps the projector and the teacher's classifier",
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return simkd(student, detached(teacher))
