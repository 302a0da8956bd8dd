"""Temperature: its check, and the softened log-probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError


def check_tau(tau: float, name: str = "tau") -> None:
    """Refuses a temperature that is not a positive finite number.

    Raises:
        StillroomError: it names the argument.
    """
    try:
        right = 0 < tau < math.inf
    except TypeError:
        right = False
    if not right:
        raise StillroomError(f"{name} is no temperature", expected=f"{name} > 0 and finite", got=repr(tau))


def log_softmax(logits: Tensor, tau: float) -> Tensor:
    """``log softmax(logits / tau)`` over dim 1; the log is never taken of a probability that has become 0."""
    return F.log_softmax(tempered(logits, tau), dim=1)


def softmax(logits: Tensor, tau: float) -> Tensor:
    """``softmax(logits / tau)`` over dim 1."""
    return torch.softmax(tempered(logits, tau), dim=1)


def tempered(logits: Tensor, tau: float) -> Tensor:
    """``logits / tau``."""
    check_tau(tau)
    return logits if tau == 1 else logits / tau
