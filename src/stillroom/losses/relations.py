"""What losses of relations compare: inner products and distances of rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stillroom.losses.shapes import FEATURES
from stillroom.losses.tensors import bmm, unit

# Relations of samples are N × N, whatever the samples are made of.
SAMPLES = FEATURES._replace(equal=(0,))


def gram(rows: Tensor) -> Tensor:
    """The inner products of all pairs of rows. (B, R, D) in, (B, R, R) out."""
    return bmm(rows, rows.transpose(1, 2))


def similarities(rows: Tensor) -> Tensor:
    """The inner products of each row with all, scaled to unit norm: the sizes are gone, the directions left.

    Shape: (B, R, D) in, (B, R, R) out.
    """
    return unit(gram(rows), 2)


def distances(rows: Tensor) -> Tensor:
    """The Euclidean distances of all pairs of rows, each pair once. (N, D) in, (N (N − 1) / 2,) out.

    Taken of differences: ``‖x‖² + ‖y‖² − 2 x·y`` loses small distances between large vectors. Where two rows are equal,
    the gradient is 0.
    """
    return F.pdist(rows)
