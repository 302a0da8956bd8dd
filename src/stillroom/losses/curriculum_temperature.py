"""CTKD: Li et al., Curriculum Temperature for Knowledge Distillation, AAAI 2023, the global temperature."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.arguments import check_at_least
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

    With ``warmup_steps`` the strength grows from 0, where theta stands still, to 1: ``½ (1 − cos(π · step /
    warmup_steps))``, the step counting the forward passes in training mode. The authors let it grow at each epoch, over
    the first 10: that many times the batches of an epoch are nearest to it. Without, the buffer ``strength`` stays what
    it is set to. Both buffers, ``strength`` and ``step``, are saved with theta.

    Args:
        start: the lowest temperature, above 0.
        end: how far above it T can come, above 0.
        warmup_steps: in how many steps the strength grows to 1, at least 0.

    Shape:
        student, teacher: (N, C) logits. Returns ().

    Raises:
        StillroomError: for a start or an end that is not above 0, for warmup_steps below 0, and for shapes that
            differ.

    Example:
        >>> loss = CurriculumTemperature()
        >>> loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])).detach(), loss.temperature.detach()
        (tensor(0.4997), tensor(15.6212))
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Li et al., AAAI 2023",
        cost="learns its temperature",
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )
    strength: Tensor
    step: Tensor

    def __init__(self, *, start: float = 1.0, end: float = 20.0, warmup_steps: int = 0) -> None:
        super().__init__()
        check_tau(start, "start")
        check_tau(end, "end")
        check_at_least("warmup_steps", warmup_steps, 0, "no such warm-up")
        self.start = start
        self.end = end
        self.warmup_steps = warmup_steps
        self.theta = nn.Parameter(torch.ones(()))
        self.register_buffer("strength", torch.zeros(()) if warmup_steps else torch.ones(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def temperature(self) -> Tensor:
        """T, a scalar; its gradient by theta is reversed."""
        theta = at_least_float32(self.theta)
        held = theta.detach()
        strength = self.strength.clone()  # autograd keeps it, and the next step may change the buffer before backward
        reversed_theta = held - strength * (theta - held)  # the value is theta's, the slope −strength
        return self.start + self.end * torch.sigmoid(reversed_theta)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_shapes(student, teacher, LOGITS)
        student, teacher = common_precision(student, detached(teacher))
        if self.training and self.warmup_steps:
            self._warm_up()
        temperature = self.temperature
        return temperature.square() * kl_divergence(student / temperature, teacher / temperature)

    @torch.no_grad()
    def _warm_up(self) -> None:
        progress = (self.step / self.warmup_steps).clamp_max(1)
        self.strength.copy_((1 - torch.cos(math.pi * progress)) / 2)
        self.step.add_(1)
