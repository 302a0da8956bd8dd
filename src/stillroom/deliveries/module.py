"""The delivery of what a module returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from stillroom.deliveries.delivery import Delivery
from stillroom.patching import ForwardTarget, Target
from stillroom.recorders import ModuleOutputs, Recorder, find_module


@dataclass(frozen=True)
class ModuleDelivery(Delivery):
    """Of a module: ``ModuleDelivery("mask")`` gives the student what the teacher's ``mask`` returned.

    Args:
        path: of the teacher's module, as in ``model.named_modules()``.
        items, teacher: as of every delivery.
        student: path of the student's module; None: the same.
    """

    student: str | None = None

    def recorder(self) -> Recorder:
        return ModuleOutputs(self.path)

    def target(self, student: nn.Module) -> Target:
        return ForwardTarget(find_module(student, self.path if self.student is None else self.student))
