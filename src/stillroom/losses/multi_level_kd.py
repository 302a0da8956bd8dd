"""Multi-level logit distillation: Jin, Wang, Lin, Multi-Level Logit Distillation, CVPR 2023, for one view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.relations import gram
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.temperature import check_tau, softmax
from stillroom.losses.tensors import common_precision, detached

TAUS = (2.0, 3.0, 4.0, 5.0, 6.0)


def multi_level_kd(student: Tensor, teacher: Tensor, *, taus: Sequence[float] = TAUS) -> Tensor:
    """The formula of :class:`MultiLevelKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    _check_taus(taus)
    student, teacher = common_precision(student, teacher)
    return torch.stack([_level(student, teacher, tau) for tau in taus]).sum()


def _level(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    p_s, p_t = (softmax(x, tau).unsqueeze(0) for x in (student, teacher))
    batches = (gram(p_s) - gram(p_t)).square().sum() / student.shape[0]
    classes = (gram(p_s.transpose(1, 2)) - gram(p_t.transpose(1, 2))).square().sum() / student.shape[1]
    return kl_divergence(student, teacher, tau=tau) + batches + classes


def _check_taus(taus: Sequence[float]) -> None:
    if not taus:
        raise StillroomError("taus is empty", expected="one temperature or more", got=taus)
    for place, tau in enumerate(taus):
        check_tau(tau, f"taus[{place}]")


@final
class MultiLevelKD(nn.Module):
    """Probabilities, relations between samples and relations between classes, each at several temperatures.

    Sum over tau of ``tau² · KL(p_t ‖ p_s)`` (batch mean) ``+ ‖P_tᵀ P_t − P_sᵀ P_s‖² / C + ‖P_t P_tᵀ − P_s P_sᵀ‖² / N``,
    with P the (N, C) matrix of ``softmax(logits / tau)`` and the squared Frobenius norm; the two last parts carry no
    tau², and depend on the batch. The authors' masks of unsure samples only halve their values and are left out; they
    train on a weak and a strong view: one term for each, with weight 0.9.

    Args:
        taus: the temperatures, at least one, each above 0.

    Shape:
        student, teacher: (N, C) logits. Returns (). Memory grows with C² for each tau.

    Raises:
        StillroomError: for taus that are none, and for shapes that differ.

    Example:
        >>> MultiLevelKD(taus=(1.0,))(torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]))
        tensor(0.5990)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Jin, Wang, Lin, CVPR 2023",
        cost="N x N and C x C relations, for each tau",
        zero_at_equality=True,
        shift_invariant=True,
    )

    def __init__(self, *, taus: Sequence[float] = TAUS) -> None:
        super().__init__()
        _check_taus(taus)
        self.taus = tuple(taus)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return multi_level_kd(student, detached(teacher), taus=self.taus)
