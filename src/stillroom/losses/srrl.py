"""SRRL: Yang et al., Knowledge Distillation via Softmax Regression Representation Learning, ICLR 2021, section 3."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import Shapes, check_shapes
from stillroom.losses.tensors import bmm, common_precision, detached

_SHAPES = Shapes("vectors (N, D) or maps (N, D, H, W)", (2, 4), (0, 1))


def srrl(student: Tensor, teacher: Tensor, *, classifier: Tensor, weight: float = 1.0) -> Tensor:
    """The formula of :class:`SRRL`; the teacher and its classifier get their gradients too."""
    check_shapes(student, teacher, _SHAPES)
    if classifier.ndim != 2 or classifier.shape[1] != teacher.shape[1]:
        expected = f"the weight of the teacher's linear classifier, (classes, {teacher.shape[1]})"
        raise StillroomError("classifier does not read these features", expected=expected, got=tuple(classifier.shape))
    student, teacher = common_precision(student, teacher)
    error = _pooled(student) - _pooled(teacher)
    # A linear classifier's bias is the same on both sides.
    of_logits = bmm(error.unsqueeze(0), classifier.to(error.dtype).t().unsqueeze(0))
    return error.square().mean() + weight * of_logits.square().mean()


def _pooled(x: Tensor) -> Tensor:
    return x.flatten(2).mean(2) if x.ndim == 4 else x


@final
class SRRL(nn.Module):
    """The student's feature is to equal the teacher's, and to mean the same to the teacher's own classifier.

    ``mean (s̄ − t̄)² + weight · mean (h(s̄) − h(t̄))²``: s̄ and t̄ are averaged over the pixels, h is the teacher's linear
    classifier, frozen, through which the gradient flows. The student's side comes from a 1x1 convolution with batch
    normalisation and ReLU *before* it is averaged, as in the authors' code; a port averages first.

    The classifier's weight is recorded from the teacher::

        Term(SRRL(), student="layer4", teacher="layer4", connector=ConvNormAct(64, 256, activation="relu"),
             extra={"classifier": Site(Parameter("fc.weight"), "teacher")})

    Args:
        weight: of the second part, not below 0.

    Shape:
        student, teacher: (N, D) or (N, D, H, W), D being the teacher's. classifier: (classes, D). Returns ().

    Raises:
        StillroomError: for a weight below 0, for another N or D, and for a classifier of other features.

    Example:
        >>> SRRL()(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 0.0]]), classifier=torch.tensor([[2.0, 1.0]]))
        tensor(10.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=_SHAPES,
        paper="Yang et al., ICLR 2021",
        connectors=("ConvNormAct",),
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        check_at_least("weight", weight, 0, "this cannot be a weight")
        self.weight = weight

    def forward(self, student: Tensor, teacher: Tensor, *, classifier: Tensor) -> Tensor:
        return srrl(student, detached(teacher), classifier=detached(classifier), weight=self.weight)
