"""What losses do to their inputs before the formula: detach, promote, normalise, multiply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import overload

import torch
from torch import Tensor
from torch.nn import functional as F

_EPS = 1e-12  # the smallest norm that anything is divided by


@overload
def detached(teacher: Tensor) -> Tensor: ...
@overload
def detached(teacher: Sequence[Tensor]) -> Sequence[Tensor]: ...
def detached(teacher: Tensor | Sequence[Tensor]) -> Tensor | Sequence[Tensor]:
    """The teacher's values without their graph; a teacher that runs without gradients costs nothing here."""
    if isinstance(teacher, Tensor):
        return teacher.detach() if teacher.requires_grad else teacher
    if isinstance(teacher, tuple | list):
        return tuple(detached(item) for item in teacher)
    return teacher  # whatever it is, the shape check says what was expected


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 where its own type holds less."""
    if x.dtype is torch.float32 or x.dtype is torch.float64:
        return x
    return x.to(torch.promote_types(x.dtype, torch.float32))


def common_precision(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of their two types, and at least in float32."""
    if a.dtype is not b.dtype:
        wider = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(wider), b.to(wider)
    return at_least_float32(a), at_least_float32(b)


def unit_samples(x: Tensor) -> Tensor:
    """Each sample divided by ``max(norm, 1e-12)``, its Euclidean norm over all that it holds.

    Shape: (N, ...) in, the same out; the memory layout stays.
    """
    return unit(x, tuple(range(1, x.ndim)))


def unit(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """``x / max(norm, 1e-12)``, with the Euclidean norm along those axes; what is 0 stays 0, without a gradient."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return divided(x, norm, at_least=_EPS)


def divided(x: Tensor, size: Tensor, *, at_least: float = 0.0) -> Tensor:
    """``x / max(size, at_least)``, and 0 where the size is 0, without the huge gradient that a tiny divisor gives."""
    return x / size.masked_fill(size == 0, torch.inf).clamp_min(at_least)


def standardized(x: Tensor, dim: tuple[int, ...], eps: float) -> Tensor:
    """``(x − mean) / (unbiased standard deviation + eps)`` along those axes; what is constant is only centred.

    Divided by ``0 + eps`` it would get a gradient ``1 / eps`` times too large.
    """
    mean = x.mean(dim=dim, keepdim=True)
    centred = x - mean
    freedom = max(1, x.numel() // mean.numel() - 1)
    deviation = torch.linalg.vector_norm(centred, dim=dim, keepdim=True) / math.sqrt(freedom) + eps
    return centred / deviation.masked_fill(is_constant(x, dim), 1.0)


def of_one_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of one height and one width: what is larger is average-pooled to the smaller.

    Shape: (N, C, H, W) and (N, C', H', W') in, both H and W the smaller of the two out.
    """
    if a.shape[2:] == b.shape[2:]:
        return a, b
    size = (min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3]))
    return F.adaptive_avg_pool2d(a, size), F.adaptive_avg_pool2d(b, size)


def is_constant(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Where all values along those axes are the same, exactly: a deviation from a rounded mean would not be 0."""
    return x.amax(dim=dim, keepdim=True) == x.amin(dim=dim, keepdim=True)


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """``torch.bmm`` in the precision of the operands: autocast would first round them to half."""
    with unrounded(a.device):
        return torch.bmm(a, b)


def unrounded(device: torch.device) -> AbstractContextManager[object]:
    """Where autocast rounds nothing to half."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
