"""Class labels: their check, and the label's class against all others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillroom.errors import StillroomError


def check_labels(labels: object, logits: Tensor) -> None:
    """Refuses anything but one class number for each row of the logits.

    The numbers themselves are not looked at, for a GPU would have to be waited for: torch refuses one that is out of
    range where it is used as an index.

    Raises:
        StillroomError: it shows type and shape of what came.
    """
    if isinstance(labels, Tensor) and labels.dtype is torch.int64 and labels.shape == logits.shape[:1]:
        return
    got = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
    raise StillroomError(
        "labels must be one class number per sample", expected=f"torch.int64 {(len(logits),)}", got=got
    )


def with_label(x: Tensor, labels: Tensor, value: float) -> Tensor:
    """``x`` (N, C) with ``value`` in place of what each row has for its label."""
    return x.scatter(1, labels.unsqueeze(1), value)


def of_label(x: Tensor, labels: Tensor) -> Tensor:
    """What each row of ``x`` (N, C) has for its label, as a column (N, 1)."""
    return x.gather(1, labels.unsqueeze(1))


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """``log(p / (1 − p))`` of each row's label, with p its softmax; a column (N, 1).

    Its logsigmoid is ``log p``, and that of its negative ``log(1 − p)``: both exact where p rounds to 0 or to 1.
    """
    others = with_label(logits, labels, -math.inf)
    return of_label(logits, labels) - others.logsumexp(dim=1, keepdim=True)
