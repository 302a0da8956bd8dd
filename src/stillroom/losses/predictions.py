"""What the head of a dense detector predicts at each position, and how far that is from what the teacher does."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.giou import giou, of_deltas
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.tensors import at_least_float32, common_precision

Predictions = Literal["scores", "distributions", "deltas", "distances"]
PREDICTIONS: tuple[str, ...] = get_args(Predictions)
_SIDES = 4


def check_channels_of(maps: Tensor, predictions: Predictions, anchors: int) -> None:
    """Refuses a map whose channels are not those of that many anchors.

    Raises:
        StillroomError: it says which number would be, and shows the map's.
    """
    channels = maps.shape[1]
    expected, fits = {
        "scores": (f"{anchors} · classes", channels % anchors == 0),
        "distributions": (
            f"{anchors} · 4 · bins, bins >= 2",
            channels % (anchors * _SIDES) == 0 and channels >= 2 * anchors * _SIDES,
        ),
        "deltas": (f"{anchors} · 4", channels == anchors * _SIDES),
        "distances": (f"{anchors} · 4", channels == anchors * _SIDES),
    }[predictions]
    if not fits:
        raise StillroomError(
            f"the channels are no {predictions} of {anchors} anchor{'s' * (anchors > 1)}",
            expected=f"C = {expected}",
            got=tuple(maps.shape),
            fix="anchors is how many there are at each position.",
        )


def confidence(scores: Tensor, anchors: int) -> Tensor:
    """The probability of each anchor's most likely class. (N, A · classes, H, W) logits in, (N, A, H, W) out."""
    return at_least_float32(scores).unflatten(1, (anchors, -1)).sigmoid().amax(2)


def score_error(student: Tensor, teacher: Tensor, gamma: float) -> Tensor:
    """``|σ(s) − σ(t)|^gamma · BCE(s, σ(t))`` of each logit. (N, C, H, W) in and out."""
    student, teacher = common_precision(student, teacher)
    target = teacher.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    return (student.sigmoid() - target).abs().pow(gamma) * cross_entropy


def box_error(student: Tensor, teacher: Tensor, predictions: Predictions, anchors: int, tau: float) -> Tensor:
    """How far each anchor's boxes are from each other. (N, A · 4 or A · 4 · bins, H, W) in, (N, A, H, W) out."""
    student, teacher = common_precision(student, teacher)
    if predictions == "distributions":
        sides = (student.shape[0], anchors, _SIDES)
        rows = (x.unflatten(1, (anchors * _SIDES, -1)).flatten(0, 1) for x in (student, teacher))
        return kl_divergence(*rows, tau=tau, reduction="none").sum(1).unflatten(0, sides).mean(2)
    of_anchors = (x.unflatten(1, (anchors, _SIDES)) for x in (student, teacher))
    boxes = (of_deltas(x, dim=2) if predictions == "deltas" else x.clamp_min(0) for x in of_anchors)
    return 1 - giou(*boxes, dim=2)
