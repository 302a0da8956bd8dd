"""Generalized IoU: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillroom.losses.tensors import divided

_MOST = math.log(1000 / 16)  # a side that is larger or smaller than the anchor's by more than this is cut off


def giou(a: Tensor, b: Tensor, *, dim: int) -> Tensor:
    """``overlap / union − (hull − union) / hull`` of boxes, from −1 to 1; 0 where both have no area.

    A box is what the distances of its left, upper, right and lower side from one point are, in this order along
    ``dim``; a box that is not around the point has distances below 0. Only the point must be the same for both: where
    it is, and in which units both are measured, is of no account, for each axis.
    """
    overlap, hull = _area(torch.minimum(a, b), dim), _area(torch.maximum(a, b), dim)
    union = _area(a, dim) + _area(b, dim) - overlap
    return divided(overlap, union) - divided(hull - union, hull)


def _area(box: Tensor, dim: int) -> Tensor:
    left, top, right, bottom = box.unbind(dim)
    return (left + right).clamp_min(0) * (top + bottom).clamp_min(0)


def of_deltas(deltas: Tensor, *, dim: int) -> Tensor:
    """Distances of a box's sides from its anchor's centre, in units of the anchor's width and height.

    The deltas are (dx, dy, log w, log h), centre and size relative to the anchor, which :func:`giou` does not need.
    """
    dx, dy, log_w, log_h = deltas.unbind(dim)
    half_w, half_h = (side.clamp(-_MOST, _MOST).exp() / 2 for side in (log_w, log_h))
    return torch.stack((half_w - dx, half_h - dy, half_w + dx, half_h + dy), dim=dim)
