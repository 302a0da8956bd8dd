"""SRD: Miles, Mikolajczyk, Understanding the Role of the Projector in Knowledge Distillation, AAAI 2024."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import VECTORS, check_shapes
from stillroom.losses.tensors import common_precision, detached

_EPS = 1e-4  # of the batch norm
_LEAST = 1e-12  # keeps the logarithm finite where student and teacher are equal


def srd(student: Tensor, teacher: Tensor, *, exponent: float = 4) -> Tensor:
    """The formula of :class:`SRD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, VECTORS)
    if len(student) == 1:
        fix = "Drop the last batch where it is smaller than the others."
        raise StillroomError("a batch of one has no statistics", expected="N >= 2", got=tuple(student.shape), fix=fix)
    student, teacher = common_precision(student, teacher)
    errors = (batch_normed(student) - batch_normed(teacher)).abs()
    return 2 * (errors.pow(exponent).sum() + _LEAST).log()


def batch_normed(x: Tensor) -> Tensor:
    """Each column with mean 0 and variance 1 (biased, eps 1e-4) over the batch. (N, D) in, the same out."""
    return F.batch_norm(x, None, None, training=True, eps=_EPS)


@final
class SRD(nn.Module):
    """The student's representation is to equal the teacher's, with the largest errors first.

    Both sides are standardised by the statistics of the batch (biased variance, eps 1e-4): the authors' two batch norms
    without parameters, of which training uses no running statistics, so that this loss has no state.
    ``2 · log(Σ |s − t|^exponent + 1e-12)`` over the whole batch: negative values are normal, and at equality it is
    ``2 · log 1e-12``, not minus infinity. The student's vector first passes a linear layer to the teacher's size. The
    authors add the KL divergence at tau 1.

    It depends on the batch; of several processes, each standardises with its own.

    Args:
        exponent: of the errors, at least 1.

    Shape:
        student, teacher: (N, D), N at least 2. Returns ().

    Raises:
        StillroomError: for an exponent below 1, for shapes that differ, for anything but vectors, and for a batch of
            one.

    Example:
        >>> SRD()(torch.tensor([[100.0], [-100.0]]), torch.tensor([[-100.0], [100.0]]))
        tensor(6.9315)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=VECTORS,
        paper="Miles, Mikolajczyk, AAAI 2024",
        connectors=("Linear",),
        smallest_batch=2,
        non_negative=False,
        shift_invariant=True,
    )

    def __init__(self, *, exponent: float = 4) -> None:
        super().__init__()
        check_at_least("exponent", exponent, 1, "exponent is no power for an error")
        self.exponent = exponent

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return srd(student, detached(teacher), exponent=self.exponent)
