"""Decoupled knowledge distillation: Zhao et al., Decoupled Knowledge Distillation, CVPR 2022, equation 7."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.labels import check_labels, log_odds, with_label
from stillroom.losses.shapes import LOGITS, check_classes, check_shapes
from stillroom.losses.temperature import check_tau, tempered
from stillroom.losses.tensors import common_precision, detached


def dkd(
    student: Tensor, teacher: Tensor, *, labels: Tensor, tau: float = 4.0, alpha: float = 1.0, beta: float = 8.0
) -> Tensor:
    """The formula of :class:`DKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    check_classes(student)
    check_labels(labels, student)
    student, teacher = (tempered(x, tau) for x in common_precision(student, teacher))
    target = _divergence(_log_target(student, labels), _log_target(teacher, labels))
    others = _divergence(_log_others(student, labels), _log_others(teacher, labels))
    return tau**2 * (alpha * target + beta * others)


def _log_target(logits: Tensor, labels: Tensor) -> Tensor:
    """``[log p, log(1 − p)]`` of the label's class, (N, 2)."""
    odds = log_odds(logits, labels)
    return F.logsigmoid(torch.cat((odds, -odds), dim=1))


def _log_others(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities of all classes but the label's, where 0 on both sides adds nothing to a divergence. (N, C)."""
    return with_label(F.log_softmax(with_label(logits, labels, -math.inf), dim=1), labels, 0.0)


def _divergence(log_s: Tensor, log_t: Tensor) -> Tensor:
    return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


@final
class DKD(nn.Module):
    """The divergence of :class:`KLDivergence` in two parts, each with a weight of its own.

    ``tau² (alpha · TCKD + beta · NCKD)``, batch mean. With ``p = softmax(logits / tau)`` and the label's y, TCKD is
    the divergence of ``[p_y, 1 − p_y]``, and NCKD that of the other classes among themselves, ``p_c / (1 − p_y)``. KD
    would weigh NCKD with ``1 − p_y`` of the teacher, and so not listen to a teacher that is sure. The authors leave the
    label out by taking 1000 from its logit, which is the same unless logits are that large.

    Args:
        tau: the temperature, above 0; 4 for CIFAR-100, 1 for ImageNet.
        alpha: weight of TCKD.
        beta: weight of NCKD; the authors take 2 to 8 for CIFAR-100, by pair, 0.5 or 2 for ImageNet.

    Shape:
        student, teacher: (N, C) logits of at least two classes. labels: (N,) int64. Returns ().

    Raises:
        StillroomError: for a tau that is none, for shapes that differ, and for labels that are no class numbers.

    Example:
        >>> student, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 0.0]])
        >>> DKD(tau=1.0)(student, teacher, labels=torch.tensor([0]))
        tensor(0.2754)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Zhao et al., CVPR 2022",
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau
        self.alpha = alpha
        self.beta = beta

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        return dkd(student, detached(teacher), labels=labels, tau=self.tau, alpha=self.alpha, beta=self.beta)
