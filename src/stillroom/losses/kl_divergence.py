"""Knowledge distillation: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2014."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.reduce import Reduction, check_reduction, reduced
from stillroom.losses.shapes import LOGITS_OR_MAPS, check_shapes
from stillroom.losses.temperature import check_tau, log_softmax
from stillroom.losses.tensors import common_precision, detached


def kl_divergence(student: Tensor, teacher: Tensor, *, tau: float = 1.0, reduction: Reduction = "batchmean") -> Tensor:
    """The formula of :class:`KLDivergence`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS_OR_MAPS)
    student, teacher = common_precision(student, teacher)
    log_s, log_t = log_softmax(student, tau), log_softmax(teacher, tau)
    return reduced(F.kl_div(log_s, log_t, reduction="none", log_target=True), reduction, factor=tau**2)


@final
class KLDivergence(nn.Module):
    """The student's class probabilities are to equal the teacher's, both softened by a temperature.

    ``tau² · Σ p_t (log p_t − log p_s)``, with ``p = softmax(logits / tau)`` over dim 1. The factor tau² keeps the size
    of the gradient while tau changes, as in section 2 of the paper; a term's weight is not to repeat it.

    Args:
        tau: the temperature, above 0. CIFAR-100 is usually trained with 4, ImageNet with 1.
        reduction: ``"batchmean"`` divides the sum by N alone, and not by H · W; this is the paper's. ``"mean"`` divides
            by the number of elements, so the value is C times smaller. ``"sum"``; ``"none"`` keeps the classes.

    Shape:
        student, teacher: (N, C) or (N, C, H, W) logits, never probabilities.
        Returns (), with ``"none"`` the shape of the input.

    Raises:
        StillroomError: for a tau or a reduction that is none, and for shapes that differ.

    Example:
        >>> KLDivergence(tau=4.0)(torch.tensor([[2.0, 0.0]]), torch.tensor([[2.0, 0.0]]))
        tensor(0.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS_OR_MAPS,
        paper="Hinton et al., NIPS workshop 2014, arXiv 1503.02531",
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 1.0, reduction: Reduction = "batchmean") -> None:
        super().__init__()
        check_tau(tau)
        check_reduction(reduction)
        self.tau = tau
        self.reduction: Reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return kl_divergence(student, detached(teacher), tau=self.tau, reduction=self.reduction)
