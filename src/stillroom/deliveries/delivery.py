"""What all deliveries share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from stillroom.patching import Target
from stillroom.recorders import Item, Recorder


@dataclass(frozen=True)
class Delivery(ABC):
    """What calls return in the teacher's forward pass, the same calls return in the student's, in the same order.

    Without ``items`` the student's own call is not made at all: it costs nothing and draws no random numbers. The
    student must make as many calls as the teacher. It is handed copies without gradient. A
    :class:`~stillroom.distillers.Distiller` delivers while any of its terms is active, or always if it has none; never
    outside of it, so not in validation. In a distiller compiled as a whole, any but that of a function of PyTorch
    breaks the graph.

    Args:
        path: dotted path of what is called.
        items: the part of what is returned that is delivered, ``("mask",)`` or ``(0, "boxes")``; the student's own call
            is made for the rest. Empty: all of it.
        teacher: the name of the teacher, where there are several.
    """

    path: str
    items: tuple[Item, ...] = ()
    teacher: str | None = None

    @abstractmethod
    def recorder(self) -> Recorder:
        """What is recorded of the teacher."""

    @abstractmethod
    def target(self, student: nn.Module) -> Target:
        """What is replaced in the student.

        Raises:
            StillroomError: it does not exist, or cannot be replaced.
        """
