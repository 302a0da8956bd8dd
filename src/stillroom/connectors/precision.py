"""Sums, exponentials and norms are computed in at least float32."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 where its own type holds less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
