"""The delivery of what a method returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from stillroom.deliveries.delivery import Delivery
from stillroom.patching import Target, find_method
from stillroom.recorders import MethodOutputs, Recorder


@dataclass(frozen=True)
class MethodDelivery(Delivery):
    """Of a method, whatever the instance: ``"torchvision.models.detection._utils.Matcher.__call__"`` gives a detector
    the label assignment of another.

    Args:
        path: as of :class:`~stillroom.recorders.MethodOutputs`.
        items, teacher: as of every delivery.
    """

    def recorder(self) -> Recorder:
        return MethodOutputs(self.path)

    def target(self, student: nn.Module) -> Target:
        return find_method(self.path)
