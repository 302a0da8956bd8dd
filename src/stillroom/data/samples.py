"""Samples: a data set of the user's, seen as dicts that carry each sample's index, with keyed augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index as whole_number
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stillroom.data.draws import batch_draws, drawing
from stillroom.errors import StillroomError

PerBatch = Callable[[Any, torch.Generator], Any]
"""Finishes an input with draws that are the same for all samples of its batch."""


class Source(Protocol):
    """What a set is read from: any map-style ``torch.utils.data.Dataset``, or a list.

    One whose items change with the epoch has a method ``in_epoch(epoch)`` besides, which returns the source of that
    epoch.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Samples(Dataset[dict[str, Any]]):
    """The samples of a source as ``{"inputs": Tensor, "labels": int, "index": int}``; no labels where there are none.

    ``samples[epoch, index]`` is the view of a sample that belongs to that epoch, the same one in any process and at
    any time; ``samples[index]`` is that of epoch 0. Where batches draw something too, such as a size, it is
    ``samples[epoch, index, batch]``, and without it that of batch 0. The default collation of a list of
    them gives a batch with the same keys.

    Args:
        source: yields (input, label), or an input alone (also as a tuple of one), where label is a whole number.
        transform: applied to the input; the result must be a tensor, an array, or a mapping: the model's keywords.
        seed: of the draws made by the source and by the transform.
        python_too: key the draws from ``random`` and ``numpy.random`` as well.
        per_batch: applied after the transform, with the draws of the batch; None: nothing is.

    Raises:
        StillroomError: the source has no length, or an item is not what is described above.
    """

    def __init__(
        self,
        source: Source,
        transform: Callable[[Any], Any] | None = None,
        *,
        seed: int = 0,
        python_too: bool = False,
        per_batch: PerBatch | None = None,
    ) -> None:
        expect_source(source)
        self.source, self.transform, self.seed, self.python_too = source, transform, seed, python_too
        self.per_batch = per_batch

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, at: int | tuple[int, int] | tuple[int, int, int]) -> dict[str, Any]:
        epoch, index, *batch = at if isinstance(at, tuple) else (0, at)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # the kind of error that ends a loop over a sequence
        with drawing(self.seed, epoch, index, python_too=self.python_too):
            value, *labels = _parts(self._source(epoch)[index], index)
            value = value if self.transform is None else self.transform(value)
        if self.per_batch is not None:
            value = self.per_batch(value, batch_draws(self.seed, epoch, batch[0] if batch else 0))
        sample: dict[str, Any] = {"inputs": value if isinstance(value, Mapping) else _tensor(value, index)}
        if labels:
            sample["labels"] = _label(labels[0], index)
        return sample | {"index": index}

    def _source(self, epoch: int) -> Source:
        changing: Callable[[int], Source] | None = getattr(self.source, "in_epoch", None)
        return self.source if changing is None else changing(epoch)


def expect_source(source: object, where: str | None = None) -> None:
    """Refuse what is no data set of stillroom's kind.

    Raises:
        StillroomError: it has no length, or its items have no index; ``where`` names it.
    """
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return
    fix = "Read an iterable data set into a list first." if isinstance(source, Iterable) else ""
    raise StillroomError(
        "samples are read by their index",
        where=where,
        expected="a data set with __len__ and __getitem__",
        got=type(source).__name__,
        fix="Pass loader.dataset." if isinstance(source, DataLoader) else fix,
    )


def _parts(item: object, index: int) -> Sequence[Any]:
    if not isinstance(item, (tuple, list)):
        return (item,)
    parts = cast("Sequence[Any]", item)
    if len(parts) not in (1, 2):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise StillroomError(
            "a sample has too many or too few parts",
            where=f"sample {index}",
            expected="(input, label) or an input alone",
            got=f"{len(parts)} parts ({kinds})",
            fix="Wrap the data set in one that returns these two.",
        )
    return parts


def _tensor(value: object, index: int) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    raise StillroomError(
        "an input cannot be put into a batch",
        where=f"sample {index}",
        expected="a tensor or an array after the transform",
        got=type(value).__name__,
        fix="Give a transform that ends in a tensor, such as torchvision.transforms.v2.ToImage() and ToDtype.",
    )


def _label(value: Any, index: int) -> int:
    try:
        return whole_number(value)
    except (TypeError, ValueError, RuntimeError):
        shown = f"{value!r}" if len(repr(value)) < 60 else type(value).__name__
        raise StillroomError(
            "a label is not a whole number", where=f"sample {index}", expected="the class, from 0", got=shown
        ) from None
