"""CTKD: Li et al., Curriculum Temperature for Knowledge Distillation, AAAI 2023, the global temperature."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import at_least_float32, common_precision, detached


@final
class CurriculumTemperature(nn.Module):
    """:class:`KLDivergence` with a temperature that learns to make the student's task harder.

    ``T² · KL(softmax(t / T) ‖ softmax(s / T))``, batch mean, with ``T = start + end · sigmoid(theta)``. The one
    parameter theta, 1 at first, must be in the optimizer; its gradient arrives times ``−strength``, so that the step
    that lowers the loss for the student raises it for theta.

    The buffer ``strength`` is 1 and saved with theta. The authors let it grow, ``½ (1 − cos(π · min(epoch, 10) / 10))``
    before each epoch: ``loss.strength.fill_(value)``; at 0 theta stands still.

    Args:
        start: the lowest temperature, above 0.
        end: how far above it T can come, above 0.

    Shape:
        student, teacher: (N, C) logits. Returns ().

    Raises:
        StillroomError: for a start or an end that is not above 0, and for shapes that differ.

    Example:
        >>> loss = CurriculumTemperature()
        >>> loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])).detach(), loss.temperature.detach()
        (tensor(0.4997), tensor(15.6212))
    """

    facts: ClassVar[Facts] = Facts(
        reads="logits",
        shapes=LOGITS,
        paper="Li et al., AAAI 2023",
        cost="learns its temperature",
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )
    strength: Tensor

    def __init__(self, *, start: float = 1.0, end: float = 20.0) -> None:
        super().__init__()
        check_tau(start, "start")
        check_tau(end, "end")
        self.start = start
        self.end = end
        self.theta = nn.Parameter(torch.ones(()))
        self.register_buffer("strength", torch.ones(()))

    @property
    def temperature(self) -> Tensor:
        """T, a scalar; its gradient by theta is reversed."""
        theta = at_least_float32(self.theta)
        held = theta.detach()
        reversed_theta = held - self.strength * (theta - held)  # the value is theta's, the slope −strength
        return self.start + self.end * torch.sigmoid(reversed_theta)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_shapes(student, teacher, LOGITS)
        student, teacher = common_precision(student, detached(teacher))
        temperature = self.temperature
        return temperature.square() * kl_divergence(student / temperature, teacher / temperature)
