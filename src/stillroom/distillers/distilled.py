"""What one call of a distiller gives."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from torch import Tensor

from stillroom.errors import StillroomError


class Distilled(NamedTuple):
    """What one call of a distiller gives.

    Attributes:
        output: what the student returned.
        losses: each term's raw loss by name, a scalar; terms of weight 0 are absent.
        loss: the weighted sum of the losses, a scalar; 0 where no term is active.
        weights: each of these terms' weight at this time.
    """

    output: Any
    losses: dict[str, Tensor]
    loss: Tensor
    weights: dict[str, float]

    def check(self) -> None:
        """Refuse a loss that is not finite. The distiller calls this on the CPU; elsewhere it waits for the device.

        Raises:
            StillroomError: names the term.
        """
        if math.isfinite(self.loss.item()):
            return
        for name, loss in self.losses.items():
            if not math.isfinite(loss.item()):
                raise StillroomError(
                    "the loss is not finite",
                    where=f"terms.{name}",
                    got=loss.item(),
                    fix="Look at the learning rate, the term's weight and the values at its sites.",
                )
        raise StillroomError("the weighted sum of the terms is not finite", got=self.loss.item())
