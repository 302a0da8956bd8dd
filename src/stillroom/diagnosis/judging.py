"""What is wrong with a term, by its numbers."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import torch
from torch import Tensor

from stillroom.diagnosis.findings import Finding
from stillroom.diagnosis.gradients import Pull
from stillroom.distillers import Term
from stillroom.losses import DIST, DKD, WSLD, KLDivergence

LARGE, SMALL = 10.0, 1 / 100
"""A term's gradient may be so many times the task's."""
AGAINST = -0.5
"""The cosine to the task's gradient below which a term works against it."""
SURE = 0.999
"""The mean of the largest probability above which soft labels are hard ones."""
UNSURE = 0.99
"""The share of the greatest possible entropy above which they say nothing."""
SOFTENED = (DIST, DKD, WSLD, KLDivergence)
"""Losses that take the teacher's softmax of the logits as they are, divided by ``tau``."""


def dead(where: str, weight: float, loss: float, own: Pull) -> list[Finding]:
    """A term that does not move the student, or moves it to nowhere."""
    if not own.reaches:
        return [out_of_reach(where, weight, loss)]
    if not isfinite(own.norm):
        fix = "Look for a square root, a logarithm or a division of 0 in the loss, and at the values at its sites."
        return [Finding("error", where, f"its gradient for the student is not finite, at a value of {loss:.4g}", fix)]
    if own.is_zero:
        seen = f"its gradient for the student is exactly 0, at a value of {loss:.4g}"
        fix = "Are both sides equal, as in the first step of a student that is a copy? Otherwise the loss is flat here."
        return [Finding("warning", where, seen, fix)]
    return []


def out_of_reach(where: str, weight: float, loss: float) -> Finding:
    """Of a term on which the student's parameters have no influence."""
    seen = f"its weight is {weight:g}, and nothing that the student learns has a part in its value ({loss:.4g})"
    fix = "Choose a site of the student behind parameters that are trained, or take the term out."
    return Finding("error", where, seen, fix)


def out_of_scale(where: str, weight: float, own: float, tasks: float) -> list[Finding]:
    """A term that outshouts the task, or is not heard beside it. Norms of weighted gradients."""
    if not own or not tasks or not isfinite(own / tasks) or SMALL <= own / tasks <= LARGE:
        return []
    how = "much larger" if own > tasks else "much smaller"
    seen = f"its gradient is {how} than the task's: {own:.3g} against {tasks:.3g}, {own / tasks:.3g} times as large"
    return [Finding("warning", where, seen, f"A weight of {weight * tasks / own:.2g} would make them equal.")]


def against_the_task(where: str, cosine: float | None) -> list[Finding]:
    """A term that pulls away from where the task pulls."""
    if cosine is None or cosine >= AGAINST:
        return []
    seen = f"its gradient points away from the task's: the cosine is {cosine:.2f}"
    return [Finding("note", where, seen, "Watch whether both losses fall; if not, lower its weight.")]


def saturated(where: str, term: Term, teacher: Any) -> list[Finding]:
    """A temperature at which the teacher's softmax says no more than a label, or nothing at all.

    Args:
        where: the term's key.
        term: those with another loss are not judged.
        teacher: the value that the loss gets.
    """
    loss = term.loss
    if not isinstance(loss, SOFTENED) or term.teacher_connector is not None:
        return []
    if not isinstance(teacher, Tensor) or teacher.dim() != 2 or teacher.shape[1] < 2:
        return []
    log_p = torch.log_softmax(teacher.detach().float() / loss.tau, 1)
    largest = float(log_p.exp().amax(1).mean())
    entropy = -float((log_p.exp() * log_p).sum(1).mean()) / log(teacher.shape[1])
    said = f"at tau {loss.tau:g} the teacher's softmax is nearly"
    if largest > SURE:
        seen, fix = f"{said} one-hot: its largest probability is {largest:.4f}", "It says hardly more than a label."
        return [Finding("warning", where, seen, f"Raise tau. {fix}")]
    if entropy > UNSURE:
        seen, fix = f"{said} uniform: it has {100 * entropy:.1f} % of the possible entropy", "It says hardly anything."
        return [Finding("warning", where, seen, f"Lower tau. {fix}")]
    return []


def constant(where: str, site: str, value: Any, count: int) -> list[Finding]:
    """A value that does not depend on the sample."""
    if not isinstance(value, Tensor) or count < 2 or value.dim() == 0 or len(value) != count or not value.numel():
        return []
    if not bool((value == value[:1]).all()):
        return []
    seen = f"the value at {site!r} is the same for all {count} samples"
    return [Finding("warning", where, seen, "Nothing can be learned from it: choose another site.")]
