"""CrossKD: Wang et al., CrossKD: Cross-Head Knowledge Distillation for Object Detection, CVPR 2024, section 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least, check_option
from stillroom.losses.facts import Facts
from stillroom.losses.modules import applied
from stillroom.losses.predictions import (
    PREDICTIONS,
    Predictions,
    box_error,
    check_channels_of,
    confidence,
    score_error,
)
from stillroom.losses.shapes import MAPS, Shapes, check_levels
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import common_precision, detached, standardized

Levels = Tensor | Sequence[Tensor]
Step = Callable[[Tensor], Tensor]
_SHAPES = MAPS._replace(equal=(0, 2, 3))
_EPS = 1e-6


def cross_kd(  # noqa: PLR0913 - the context of a whole head, and four ways to compare
    student: Levels,
    teacher: Levels,
    *,
    hidden: Levels,
    tail: Step | Sequence[Step],
    scores: Levels | None = None,
    positives: Tensor | float | None = None,
    predictions: Predictions = "scores",
    gamma: float = 1.0,
    tau: float = 1.0,
    anchors: int = 1,
) -> Tensor:
    """The formula of :class:`CrossKD`; the teacher gets its gradient too, and the tail is called as it is."""
    _check_arguments(predictions, gamma, tau, anchors)
    if (scores is None) is not (predictions == "scores"):
        expected = "none" if scores is not None else "the teacher's class logits, which weigh the boxes"
        raise StillroomError(f"scores do not fit predictions {predictions!r}", expected=expected, got=_kind(scores))
    students, teachers = _levels(student, teacher, _SHAPES)
    _, hiddens = _levels(student, hidden, MAPS, "hidden")
    _, scored = _levels(student, teacher if scores is None else scores, _SHAPES, "scores")
    for of_level, of_scores in zip(teachers, scored, strict=True):
        check_channels_of(of_level, predictions, anchors)
        check_channels_of(of_scores, "scores", anchors)
    crossed = [_through(tail, restandardized(s, h).relu()) for s, h in zip(students, hiddens, strict=True)]
    _levels(crossed, teachers, MAPS, "tail")
    weights = [confidence(z, anchors) for z in scored]
    if predictions == "scores":
        errors = [score_error(c, t, gamma) for c, t in zip(crossed, teachers, strict=True)]
    else:
        far = [box_error(c, t, predictions, anchors, tau) for c, t in zip(crossed, teachers, strict=True)]
        errors = [w * e for w, e in zip(weights, far, strict=True)]
    return _total(errors) / _divisor(positives, weights)


def restandardized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` with the mean and the (unbiased) standard deviation of ``like``, over N, H and W, for each channel."""
    x, like = common_precision(x, like)
    count = like.numel() // like.shape[1]
    deviation, mean = torch.std_mean(like, (0, 2, 3), correction=min(1, count - 1), keepdim=True)
    return standardized(x, (0, 2, 3), _EPS) * deviation + mean


def _levels(
    student: Levels, teacher: Levels, accepted: Shapes, where: str = ""
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Both as one map for each level, which fit each other."""
    students, teachers = ((side,) if isinstance(side, Tensor) else side for side in (student, teacher))
    try:
        check_levels(students, teachers, accepted, least=1)
    except StillroomError as error:
        raise (error.at(where) if where else error) from None
    return students, teachers


def _through(tail: Step | Sequence[Step], x: Tensor) -> Tensor:
    for step in _steps(tail):
        x = step(x)
    return x


def _steps(tail: Any) -> list[Any]:
    steps = list(tail) if isinstance(tail, list | tuple | nn.ModuleList) else [tail]
    for step in steps:
        if not callable(step):
            raise StillroomError(
                "the tail is no part of a head", expected="a module, or several in turn", got=_kind(step)
            )
    return steps


def _kind(value: object) -> str:
    return type(value).__name__


def _total(levels: Sequence[Tensor]) -> Tensor:
    return torch.stack([of_level.sum() for of_level in levels]).sum()


def _divisor(positives: Tensor | float | None, weights: Sequence[Tensor]) -> Tensor | float:
    if positives is None:
        return _total(weights).clamp_min(1)
    if not isinstance(positives, Tensor):
        check_at_least("positives", positives, 0, "this cannot be a number of positives")
        return max(1, positives)
    if positives.ndim:
        raise StillroomError("positives must be one number", expected=(), got=tuple(positives.shape))
    return positives.clamp_min(1)


def _check_arguments(predictions: Predictions, gamma: float, tau: float, anchors: int) -> None:
    check_option("predictions", predictions, PREDICTIONS)
    check_at_least("gamma", gamma, 1, "below 1 the gradient has no bound where both sides agree")
    check_tau(tau)
    check_at_least("anchors", anchors, 1, "a position without anchors predicts nothing")


@final
class CrossKD(nn.Module):
    """The student's head is to make, of the rest of the teacher's head, the predictions that the teacher makes.

    The student's map is taken inside of its head: behind a convolution and its norm, before the activation. Each
    channel gets the mean and the standard deviation that the teacher's map has at the same place, over N, H and W of
    one level; then ReLU, then the rest of the teacher's head, the ``tail``. The student's own loss is not concerned.
    What is predicted there is compared with the teacher's, and summed over the levels:

    - ``scores``: ``Σ |σ(s) − σ(t)|^gamma · BCE(s, σ(t))``, over all logits;
    - ``distributions`` of the four sides: ``Σ w · tau² / 4 · Σ_sides KL(softmax(t / tau) ‖ softmax(s / tau))``;
    - ``deltas`` (dx, dy, log w, log h) from anchors, or ``distances`` (left, top, right, bottom) from points, below 0
      taken for 0: ``Σ w · (1 − GIoU)``, for which neither anchors nor points are needed.

    Here w is the teacher's largest class probability for the anchor. The sum is divided by ``positives``, or without
    it by ``Σ w`` of all levels, in either case by at least 1. The authors divide distributions by Σ w, all else by the
    number of positives. One term for the scores, one for the boxes: weights are 1 for scores, distributions 4 and
    deltas 1 behind the third of four convolutions; FCOS has 0.4 and 0.75 behind the second, and a tail that ends with
    what makes distances of the last convolution. Where student equals teacher the value is almost, not exactly, 0.

    The tail is frozen: it gets no gradient and keeps its type, but is computed in the type of the maps, in at least
    float32, also under autocast. It should be in eval mode, as a teacher is. It is the same for all levels: a head with
    a scale for each level needs one term for each, and ``positives``.

    Args:
        predictions: what the tail predicts.
        gamma: exponent of the difference of scores, at least 1.
        tau: temperature of distributions, above 0.
        anchors: how many there are at each position; their channels stand one anchor after the other. 9 for RetinaNet.

    Shape:
        student, hidden: (N, C, H, W), or a tuple, one for each level. teacher, and what the tail returns: (N, anchors ·
        classes, H, W), with 4 · bins or 4 for the classes where it predicts boxes; scores: (N, anchors · classes, H,
        W), for boxes alone; both in a tuple if student is. tail: a module, or several in turn. positives: a number, or
        a tensor (). Returns ().

    Raises:
        StillroomError: for an unknown prediction, and for gamma, tau or anchors out of range; for scores that are
            missing or of no use; for maps that differ in level, N, H or W, or C, and channels that are not those of the
            anchors; for a tail that is none.

    Example:
        >>> student, hidden = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 0.0]]]])
        >>> CrossKD()(student, hidden, hidden=hidden, tail=torch.nn.Identity(), positives=2)
        tensor(0.3465)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="map",
        shapes=_SHAPES,
        paper="Wang et al., CVPR 2024",
        cost="runs the rest of the teacher's head once more",
        permutation_invariant=False,
    )

    def __init__(
        self, *, predictions: Predictions = "scores", gamma: float = 1.0, tau: float = 1.0, anchors: int = 1
    ) -> None:
        super().__init__()
        _check_arguments(predictions, gamma, tau, anchors)
        self.predictions: Predictions = predictions
        self.gamma, self.tau, self.anchors = gamma, tau, anchors

    def forward(
        self,
        student: Levels,
        teacher: Levels,
        *,
        hidden: Levels,
        tail: nn.Module | Sequence[nn.Module],
        scores: Levels | None = None,
        positives: Tensor | float | None = None,
    ) -> Tensor:
        return cross_kd(
            student,
            detached(teacher),
            hidden=detached(hidden),
            tail=[partial(applied, module, frozen=True) for module in _steps(tail)],
            scores=None if scores is None else detached(scores),
            positives=positives,
            predictions=self.predictions,
            gamma=self.gamma,
            tau=self.tau,
            anchors=self.anchors,
        )
