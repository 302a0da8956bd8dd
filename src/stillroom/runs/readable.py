"""Whether the samples of a data set can be read, and learned from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from stillroom.data import DataModule, Loader
from stillroom.diagnosis import Finding

SECONDS = 2.0
"""For each set; one that can be read in this time is read as a whole."""
NAMED = 3
"""Samples that are named."""


@dataclass(frozen=True)
class Reading:
    """What was read of one set.

    Attributes:
        split: which one.
        count: of samples in it.
        read: how many were tried.
        seconds: for each.
        complaints: index and what is wrong.
        remarks: what the set itself says is odd about it.
    """

    split: str
    count: int
    read: int
    seconds: float
    complaints: tuple[tuple[int, str], ...]
    remarks: tuple[str, ...] = ()

    def findings(self) -> list[Finding]:
        """An error that names the first samples, if any cannot be read, and a warning for each remark."""
        odd = [
            Finding("warning", f"data ({self.split})", remark, "Repair the annotations if that is a mistake.")
            for remark in self.remarks
        ]
        return self._unreadable() + odd

    def _unreadable(self) -> list[Finding]:
        if not self.complaints:
            return []
        named = "; ".join(f"sample {index}: {what}" for index, what in self.complaints[:NAMED])
        more = f"; and {len(self.complaints) - NAMED} more" if len(self.complaints) > NAMED else ""
        seen = f"{len(self.complaints)} of {self.read:,} samples cannot be learned from ({named}{more})"
        fix = "Repair them or take them out: a training ends when it comes to one."
        if self.read < self.count:
            fix += f" {self.count - self.read:,} more were not read."
        return [Finding("error", f"data ({self.split})", seen, fix)]


def read_sample(split: str, loader: Loader, *, classes: int | None, seconds: float = SECONDS) -> Reading:
    """Read samples spread over a whole set, as many as the time allows, all where it allows them.

    Args:
        split: its name.
        loader: of the set.
        classes: how many there are; None: unknown.
        seconds: after which no more are read.
    """
    samples = cast("Any", loader.dataset)
    complaints: list[tuple[int, str]] = []
    read, start = 0, time.perf_counter()
    for index in spread(len(samples)):
        if (what := _complaint(samples, index, classes)) is not None:
            complaints.append((index, what))
        read += 1
        if time.perf_counter() - start > seconds:
            break
    spent = time.perf_counter() - start
    remarks = tuple(getattr(samples.source, "remarks", ()))
    return Reading(split, len(samples), read, spent / max(read, 1), tuple(sorted(complaints)), remarks)


def spread(count: int) -> Iterator[int]:
    """All indices below ``count``, in an order whose beginning lies evenly in the whole."""
    step = max(1, round(count * 0.618))  # the golden ratio: no two of few steps fall close together
    while gcd(step, count) > 1:
        step += 1
    return (number * step % count for number in range(count))


def spread_batches(loader: Loader, batches: int, size: int) -> list[dict[str, Any]]:
    """Batches of samples that lie evenly in the set, made in this process; fewer where the set has no more."""
    samples, collate = cast("Any", loader.dataset), cast("Any", loader.collate_fn)
    chosen = [index for index, _ in zip(spread(len(samples)), range(batches * size), strict=False)]
    return [
        collate([samples[index] for index in chosen[start : start + size]]) for start in range(0, len(chosen), size)
    ]


def first_batch(data: DataModule, count: int | None = None) -> dict[str, Any]:
    """The batch that the first training step gets, or the first ``count`` samples of it, made in this process."""
    loader = data.train_dataloader()
    samples, collate = cast("Any", loader.dataset), cast("Any", loader.collate_fn)
    return collate([samples[key] for key in next(iter(loader.batches))[:count]])


def _complaint(samples: Any, index: int, classes: int | None) -> str | None:
    try:
        sample: Mapping[str, Any] = samples[index]
    except Exception as error:  # whatever a file, a decoder or a transform of the user's can raise
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200].rstrip(".")
    inputs = sample["inputs"]
    leaves: list[Any] = tree_leaves(dict(cast("Mapping[str, Any]", inputs)) if isinstance(inputs, Mapping) else inputs)
    if not all(bool(torch.isfinite(leaf).all()) for leaf in leaves if isinstance(leaf, Tensor)):
        return "its input is not finite"
    label = sample.get("labels")
    if classes is not None and isinstance(label, int) and label >= classes:
        return f"its label is {label}, and there are {classes} classes"
    return None
