"""DIST: Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, equations 8 to 10."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.temperature import check_tau, softmax
from stillroom.losses.tensors import common_precision, detached, is_constant

_EPS = 1e-8


def dist(student: Tensor, teacher: Tensor, *, tau: float = 1.0, inter: float = 1.0, intra: float = 1.0) -> Tensor:
    """The formula of :class:`DIST`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    p_s, p_t = (softmax(x, tau) for x in common_precision(student, teacher))
    between_classes = 1 - correlation(p_s, p_t, dim=1).mean()
    within_classes = 1 - correlation(p_s, p_t, dim=0).mean()
    return tau**2 * (inter * between_classes + intra * within_classes)


def correlation(a: Tensor, b: Tensor, *, dim: int) -> Tensor:
    """Pearson's, along one axis; 0 where either side is constant."""
    (a, norm_a), (b, norm_b) = _centred(a, dim), _centred(b, dim)
    return (a * b).sum(dim=dim, keepdim=True) / (norm_a * norm_b + _EPS)


def _centred(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``x − mean`` and its norm; a constant gets a norm of 1, for with 0 its gradient would be 1e8 times too large."""
    centred = x - x.mean(dim=dim, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    return centred, norm.masked_fill(is_constant(x, dim), 1.0)


@final
class DIST(nn.Module):
    """The student's probabilities are to correlate with the teacher's, rather than to equal them.

    ``tau² [inter · (1 − mean over rows of rho) + intra · (1 − mean over columns of rho)]`` of the (N, C) matrix
    ``softmax(logits / tau)``, with Pearson's ``rho = Σ ã b̃ / (‖ã‖ ‖b̃‖ + 1e-8)`` and ``ã = a − mean``. A row holds the
    classes of one sample. A column holds one class over the batch, so the value depends on the batch; in a batch of
    one the columns correlate with nothing, and their part is the constant ``tau² · intra``. Any increasing affine map
    of the teacher's probabilities is as good as they are themselves: the value is then 0, but for the 1e-8. The authors
    weigh the term with 2.

    Args:
        tau: the temperature, above 0; 4 for CIFAR-100, 1 for ImageNet.
        inter: weight of the relation between classes (rows).
        intra: weight of the relation within a class (columns).

    Shape:
        student, teacher: (N, C) logits. Returns ().

    Raises:
        StillroomError: for a tau that is none, and for shapes that differ.

    Example:
        >>> DIST()(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
        tensor(0.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Huang et al., NeurIPS 2022",
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 1.0, inter: float = 1.0, intra: float = 1.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau
        self.inter = inter
        self.intra = intra

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return dist(student, detached(teacher), tau=self.tau, inter=self.inter, intra=self.intra)
