"""Images and labels that fit into memory, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stillroom.errors import StillroomError

_SPLIT_SEED = 20150309  # fixed: a run's seed must not move samples between training and validation


@dataclass(frozen=True)
class ImageSet:
    """A map-style data set of (image, label).

    Args:
        images: (N, C, H, W), usually uint8.
        labels: int64 (N,).
    """

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, pixels: Tensor, labels: Tensor) -> ImageSet:
        """From (N, H, W), which are gray, or (N, H, W, C)."""
        return cls(pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous(), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])

    def take(self, indices: Tensor) -> ImageSet:
        return ImageSet(self.images[indices], self.labels[indices])

    def held_out(self, count: int) -> tuple[ImageSet, ImageSet]:
        """The rest, and ``count`` samples with the classes in the same proportion; always the same ones."""
        rest, held = held_out(self.labels, count)
        return self.take(rest), self.take(held)

    def limited(self, per_class: int | None) -> ImageSet:
        """The first ``per_class`` samples of each class; None: all."""
        return self if per_class is None else self.take(first_of_each(self.labels, per_class))


def held_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices of the samples that stay, and of ``count`` that are held out: stratified, by a fixed seed, ascending.

    Each class gives its share of ``count``; what rounding leaves over comes from the classes with the largest
    remainders.

    Raises:
        StillroomError: nothing would stay, or ``count`` is negative.
    """
    if not 0 <= count < len(labels):
        raise StillroomError(
            "so many samples cannot be held out for validation", expected=f"0 to {len(labels) - 1}", got=count
        )
    _, of_class, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    quotas, remainders = sizes * count // len(labels), sizes * count % len(labels)
    quotas[remainders.argsort(descending=True, stable=True)[: count - int(quotas.sum())]] += 1
    # NumPy promises that this generator gives the same numbers in every version; torch promises nothing of the kind.
    shuffled = torch.from_numpy(np.random.RandomState(_SPLIT_SEED).permutation(len(labels)))
    held = shuffled[_rank_in_class(of_class[shuffled]) < quotas[of_class[shuffled]]]
    is_held = torch.zeros(len(labels), dtype=torch.bool).index_fill(0, held, True)
    return (~is_held).nonzero().flatten(), is_held.nonzero().flatten()


def checked_limit(per_class: int | None) -> int | None:
    """How many samples of each class to train on, None for all: itself.

    Raises:
        StillroomError: it is below 1.
    """
    if per_class is not None and per_class < 1:
        raise StillroomError(
            "this is out of range", where="limit_per_class", expected="1 or more, or none", got=per_class
        )
    return per_class


def first_of_each(labels: Tensor, per_class: int) -> Tensor:
    """Indices of the first ``per_class`` samples of each class, ascending; all of a class that has fewer."""
    return (_rank_in_class(labels) < per_class).nonzero().flatten()


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many samples of the same class stand before each."""
    order = labels.argsort(stable=True)
    _, sizes = torch.unique_consecutive(labels[order], return_counts=True)
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return torch.empty_like(labels).index_copy_(0, order, torch.arange(len(labels)) - starts)
