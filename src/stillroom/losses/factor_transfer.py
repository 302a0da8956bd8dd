"""Factor transfer: Kim, Park, Kwak, Paraphrasing Complex Network, NeurIPS 2018, equation 2."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import FEATURES, check_shapes
from stillroom.losses.tensors import common_precision, detached, unit_samples


def factor_transfer(student: Tensor, teacher: Tensor, *, p: float = 1) -> Tensor:
    """The formula of :class:`FactorTransfer`; the teacher gets its gradient too."""
    check_shapes(student, teacher, FEATURES)
    student, teacher = common_precision(student, teacher)
    errors = unit_samples(student) - unit_samples(teacher)
    # The sum of powers as that of a norm, which keeps no absolute values for the backward pass.
    return torch.linalg.vector_norm(errors, ord=p).pow(p) / errors.numel()


@final
class FactorTransfer(nn.Module):
    """The student's factor is to point where the teacher's does.

    ``mean |n(s) − n(t)|^p`` over every element, with n the flattened factor of a sample divided by its L2 norm. The
    factors come from a Paraphraser on the teacher's last map and a Translator on the student's. The mean makes the
    value shrink as factors grow, hence weights near 1000. RepDistiller normalises the channel mean of squares
    instead; its weights do not transfer.

    Args:
        p: the power, at least 1, so that the gradient at equality is finite.

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...). Returns ().

    Raises:
        StillroomError: for a p below 1, and for shapes that differ.

    Example:
        >>> FactorTransfer()(torch.tensor([[3.0, 4.0]]), torch.tensor([[9.0, 0.0]]))
        tensor(0.6000)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Kim, Park, Kwak, NeurIPS 2018",
        connectors=("Translator",),
        teacher_connector="Paraphraser",
        cost="the Paraphraser is trained before, alone",
        zero_at_equality=True,
        per_sample_mean=True,
        scale_invariant=True,
    )

    def __init__(self, *, p: float = 1) -> None:
        super().__init__()
        check_at_least("p", p, 1, "p is no power for a factor's error")
        self.p = p

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return factor_transfer(student, detached(teacher), p=self.p)
