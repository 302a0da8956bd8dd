"""Are the boxes that two models choose the same ones?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stillroom.export.parity import allowed, differs

__all__ = ["same_choices"]

LARGEST_SHARE = 0.02
"""Of boxes that only one of the two chose: with scores or overlaps that are equal but for rounding it may be either."""


def same_choices(right: Sequence[Tensor], found: Sequence[Tensor], tolerance: float) -> float:
    """Compare what was chosen and not the order, which scores that are equal but for rounding leave open.

    Args:
        right: ``boxes`` (N, K, 4), ``scores`` (N, K) and ``labels`` (N, K), below 0 where nothing was chosen.
        found: likewise.
        tolerance: as in ``parity``, for boxes and scores.

    Returns:
        The largest absolute difference of what both chose.

    Raises:
        StillroomError: one of the two chose much that the other did not, or values that are too far off.
    """
    (boxes, scores, labels), (others, other_scores, other_labels) = right, found
    apart = (boxes.unsqueeze(2) - others.unsqueeze(1)).abs().amax(-1)
    surer = (scores.unsqueeze(2) - other_scores.unsqueeze(1)).abs()
    both = (labels.unsqueeze(2) == other_labels.unsqueeze(1)) & (labels >= 0).unsqueeze(2)
    partners = both & (apart <= allowed(boxes, tolerance)) & (surer <= allowed(scores, tolerance))
    chosen = int((labels >= 0).sum()) + int((other_labels >= 0).sum())
    alone = chosen - int(partners.any(2).sum()) - int(partners.any(1).sum())
    if alone > LARGEST_SHARE * chosen:
        expected = f"the same boxes, up to {100 * LARGEST_SHARE:g} % (tolerance {tolerance:g})"
        raise differs(expected, f"{alone} of {chosen} boxes that the other does not choose")
    return float(torch.where(partners, torch.maximum(apart, surer), 0).max()) if partners.numel() else 0.0
