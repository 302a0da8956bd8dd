"""What losses do to their inputs before the formula: detach, promote, normalise, multiply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

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
    norm = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
    return x / norm.clamp_min(_EPS)


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """``torch.bmm`` in the precision of the operands: autocast would first round them to half."""
    device = a.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return torch.bmm(a, b)
    with torch.autocast(device, enabled=False):
        return torch.bmm(a, b)
