"""What the losses are timed on: shapes of the papers' networks, and random tensors of those shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Shapes = Any
"""One shape, or a list of shapes where a loss takes a tuple of tensors; lists may hold lists."""

SMALL = 5


@dataclass(frozen=True)
class Work:
    """Some calls of one loss, whose values are added: the stages of a network, say.

    Attributes:
        name: in a few words.
        calls: of each call, the shapes of the student's side; the teacher's has the same.
    """

    name: str
    calls: tuple[Shapes, ...]

    def small(self) -> Work:
        """The same with few samples and few pixels; channels stay."""
        return Work(self.name, tuple(mapped(_small, shapes) for shapes in self.calls))


def _small(shape: Shape) -> Shape:
    return (min(shape[0], SMALL), *shape[1:2], *(min(size, SMALL) for size in shape[2:]))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Of each shape or tensor; a list becomes a list."""
    return [mapped(function, item) for item in tree] if isinstance(tree, list) else function(tree)


def leaves(tree: Any) -> list[Any]:
    return [leaf for item in tree for leaf in leaves(item)] if isinstance(tree, list) else [tree]


def drawn(shapes: Shapes) -> Any:
    """Normal numbers."""
    return mapped(torch.randn, shapes)


def with_masks(shapes: Shapes) -> list[Tensor]:
    """Normal numbers, of which the last two tensors, masks, are not below 0."""
    tensors = drawn(shapes)
    return [*tensors[:-2], *(mask.abs() for mask in tensors[-2:])]


# Classifiers

BATCH = 64
CIFAR = Work("64 x 100 logits", ((BATCH, 100),))
IMAGENET = Work("64 x 1000 logits", ((BATCH, 1000),))
# resnet32x4 and resnet8x4 have the same widths: stem, three stages, pooled vector
_STEM, *_STAGES = (BATCH, 32, 32, 32), (BATCH, 64, 32, 32), (BATCH, 128, 16, 16), (BATCH, 256, 8, 8)
STAGES = Work("3 stages of resnet8x4, 64 images", tuple(_STAGES))
LAYERS = Work("3 stages of resnet8x4, 64 images", ([*_STAGES],))
PAIRS_OF_STAGES = Work(
    "3 pairs of stages of resnet8x4, 64 images",
    tuple([one, other] for one, other in zip((_STEM, *_STAGES), _STAGES, strict=False)),
)
SECOND = Work("64 x 128 x 16 x 16", ((BATCH, 128, 16, 16),))
LAST = Work("64 x 256 x 8 x 8", ((BATCH, 256, 8, 8),))
FACTORS = Work("64 x 128 x 8 x 8", ((BATCH, 128, 8, 8),))
POOLED = Work("64 x 256", ((BATCH, 256),))
EMBEDDED = Work("64 x 128", ((BATCH, 128),))
WIDE = Work("256 x 512", ((256, 512),))

# Detectors

IMAGE = (800, 1344)  # 800 x 1333, padded to a multiple of 32
_FPN = [(2, 256, h, w) for h, w in ((100, 168), (50, 84), (25, 42), (13, 21), (7, 11))]
FPN = Work("P3 to P7 of 2 images 800 x 1333", tuple(_FPN))
LEVELS = Work("P3 to P7 of 2 images 800 x 1333", (_FPN,))
_PARTS = [[(n, c, h, w), (n, c), (n, 1, h, w), (n, c, h, w), (n, 1, h, w), (n, c, 1, 1)] for n, c, h, w in _FPN]
FPN_PARTS = Work("P3 to P7 of 2 images 800 x 1333", tuple(_PARTS))
CLASSES = 80
BINS = 17  # GFL's
SIDES = Work("P3 to P7 of 2 images 800 x 1333", tuple((n, 4 * BINS, h, w) for n, _, h, w in _FPN))
POSITIVES = Work("400 positives", ((400, 4, BINS),))
HEADS = Work("3 heads of 8 images 608 x 608", ([(8, 3 * (5 + CLASSES), size, size) for size in (19, 38, 76)],))
