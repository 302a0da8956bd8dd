"""Correlation congruence: Peng et al., Correlation Congruence for Knowledge Distillation, ICCV 2019, as coded there."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import VECTORS, check_shapes
from stillroom.losses.tensors import common_precision, detached


def correlation_congruence(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`CorrelationCongruence`; the teacher gets its gradient too."""
    check_shapes(student, teacher, VECTORS)
    student, teacher = common_precision(student, teacher)
    errors = (student - teacher).abs()
    return (errors[:-1] * errors[1:]).sum() / max(1, len(errors) - 1)


@final
class CorrelationCongruence(nn.Module):
    """The errors of samples that are neighbours in the batch are not to occur together.

    ``d = |s − t|``; the mean over ``n = 1 ... N − 1`` of ``Σ_D d_n · d_(n+1)``, and 0 for a single sample. This is the
    authors' code; the paper's kernel, and torchdistill's loss of this name, are other losses with other weights. Both
    sides are embeddings of the pooled features, linear to 128 dimensions; a weight of 0.02 is usual.

    It depends on the order of the batch; of several processes, each compares the samples of its own.

    Shape:
        student, teacher: (N, D). Returns ().

    Raises:
        StillroomError: for anything but vectors, and for shapes that differ.

    Example:
        >>> CorrelationCongruence()(torch.tensor([[1.0], [2.0], [3.0]]), torch.zeros(3, 1))
        tensor(4.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=VECTORS,
        paper="Peng et al., ICCV 2019",
        connectors=("Linear",),
        teacher_connector="Linear",
        zero_at_equality=True,
        permutation_invariant=False,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return correlation_congruence(student, detached(teacher))
