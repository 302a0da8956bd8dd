"""What each contrastive loss must be; see loss_references.py."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from loss_references import Array


def crd(
    student: Array,
    teacher: Array,
    *,
    index: Array,
    state: Any,
    drawn: Array,
    samples: int,
    tau: float = 0.07,
    **_: Any,
) -> float:
    """With the negatives that the loss drew, and the banks and normalisers that it remembers."""
    total, noise = 0.0, drawn.shape[1] / samples
    for features, side, other in ((student, "student", "teacher"), (teacher, "teacher", "student")):
        rows, z = state[f"{other}_bank.rows"], math.exp(state[f"{other}_bank.log_z"])
        for place, sample in enumerate(features):
            weight, bias = state[f"{side}_embedding.weight"], state[f"{side}_embedding.bias"]
            embedded = _embedded([float(channel.mean()) for channel in sample], weight, bias)
            hit, *misses = (math.exp(_inner(rows[row], embedded) / tau) / z for row in (index[place], *drawn[place]))
            total += math.log(hit / (hit + noise + 1e-7))
            total += sum(math.log(noise / (miss + noise + 1e-7)) for miss in misses)
    return -total / len(student)


def _embedded(vector: list[float], weight: Array, bias: Array) -> list[float]:
    raw = [_inner(row, vector) + shift for row, shift in zip(weight, bias, strict=True)]
    norm = math.sqrt(_inner(raw, raw))
    return [value / norm for value in raw]


def _inner(a: Iterable[float], b: Iterable[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
