"""Reductions, once: from one number per element to the number that is minimised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from stillroom.losses.arguments import check_option

Reduction = Literal["batchmean", "mean", "sum", "none"]
REDUCTIONS: tuple[str, ...] = get_args(Reduction)


def check_reduction(reduction: str, options: Sequence[str] = REDUCTIONS) -> None:
    """Refuses a reduction that the loss does not know.

    Raises:
        StillroomError: it names the reduction, the options and the nearest of them.
    """
    check_option("reduction", reduction, options)


def reduced(values: Tensor, reduction: Reduction, factor: float = 1.0) -> Tensor:
    """``factor`` times the reduced values, in one multiplication.

    ``batchmean`` divides the sum by N, ``mean`` by the number of elements; ``sum``; ``none`` keeps every element.
    """
    check_reduction(reduction)
    if reduction == "batchmean":
        factor = factor / values.shape[0]
    elif reduction == "mean":
        factor = factor / values.numel()
    result = values if reduction == "none" else values.sum()
    return result if factor == 1 else result * factor


def mean_squared_error(a: Tensor, b: Tensor) -> Tensor:
    """``mean (a − b)²``; what ``F.mse_loss`` averages itself keeps the memory of all the errors as long as it lives."""
    return reduced(F.mse_loss(a, b, reduction="none"), "mean")


def reduced_by(function: Callable[..., Tensor], student: Tensor, teacher: Tensor, reduction: Reduction) -> Tensor:
    """As :func:`reduced`, of one of torch's own losses, which sums and averages in the same operation."""
    check_reduction(reduction)
    if reduction == "batchmean":
        return function(student, teacher, reduction="sum") / student.shape[0]
    return function(student, teacher, reduction=reduction)
