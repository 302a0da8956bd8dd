"""A learning rate that rises, stays, and falls in steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import final

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stillroom.errors import StillroomError


@final
class WarmUpMultiStepLR(LRScheduler):
    """``MultiStepLR`` behind a linear warm-up, as one class that a recipe can name.

    In its step t, counted from 0, the learning rate is ``min(1, (t + 1) / warm_up) * gamma ** k`` of the optimizer's
    own, with k the number of milestones up to t.

    Args:
        optimizer: whose learning rate it is.
        warm_up: steps until the whole learning rate; 1: it starts with it.
        milestones: steps at which it falls, in ascending order.
        gamma: to which share of itself.
        last_epoch: of its last step, to go on from; -1: it starts.

    Raises:
        StillroomError: the warm-up has no step, or the milestones are in another order.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warm_up: int,
        milestones: Sequence[int] = (),
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if warm_up < 1 or list(milestones) != sorted(milestones):
            raise StillroomError(
                "this is no schedule of a learning rate",
                expected="warm_up >= 1, milestones in ascending order",
                got=f"warm_up={warm_up}, milestones={list(milestones)}",
            )
        self.warm_up, self.milestones, self.gamma = warm_up, list(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        step = self.last_epoch
        share = min(1.0, (step + 1) / self.warm_up) * self.gamma ** bisect_right(self.milestones, step)
        return [base * share for base in self.base_lrs]
