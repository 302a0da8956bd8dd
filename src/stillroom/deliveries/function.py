"""The delivery of what a function returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from stillroom.deliveries.delivery import Delivery
from stillroom.patching import Target, find_function
from stillroom.recorders import FunctionOutputs, Recorder


@dataclass(frozen=True)
class FunctionDelivery(Delivery):
    """Of a function: ``FunctionDelivery("torch.rand")`` gives both models the same random numbers.

    Args:
        path: as of :class:`~stillroom.recorders.FunctionOutputs`.
        items, teacher: as of every delivery.
    """

    def recorder(self) -> Recorder:
        return FunctionOutputs(self.path)

    def target(self, student: nn.Module) -> Target:
        return find_function(self.path)
