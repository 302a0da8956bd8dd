"""Losses with one mistake each, most of which other projects have shipped, and the check that must see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import loss_checks
import loss_refusals
import torch
from loss_samples import mapped
from loss_subjects import Subject, subjects
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import losses

Check = Callable[[Subject], None]


def original(name: str, **arguments: Any) -> Subject:
    """The subject of that loss and those arguments; the last one, which has maps where maps are accepted."""
    found = [subject for subject in subjects() if (subject.kind.__name__, subject.arguments) == (name, arguments)]
    return found[-1]


def mutant_of(subject: Subject, function: Callable[..., Tensor], *, detaches: bool = True) -> Subject:
    class Mutant(nn.Module):
        facts = subject.facts

        def __init__(self, **arguments: Any) -> None:
            super().__init__()
            self.arguments = arguments

        def forward(self, student: Any, *teacher: Any, **context: Any) -> Tensor:
            if detaches:
                teacher = tuple(mapped(torch.detach, side) for side in teacher)
            return function(student, *teacher, **context, **self.arguments)

    return replace(subject, kind=Mutant, function=function)


def kl(s: Tensor, t: Tensor, tau: float, divisor: float) -> Tensor:
    log_s, log_t = F.log_softmax(s / tau, dim=1), F.log_softmax(t / tau, dim=1)
    return (log_t.exp() * (log_t - log_s)).sum() / divisor


def unit(x: Tensor) -> Tensor:
    return F.normalize(x.flatten(1), dim=1)


def attention(x: Tensor) -> Tensor:
    return x.square().mean(dim=1).flatten(1)


def flow(maps: tuple[Tensor, Tensor], pool: Callable[..., Tensor] = F.adaptive_avg_pool2d) -> Tensor:
    size = [min(a, b) for a, b in zip(maps[0].shape[2:], maps[1].shape[2:], strict=True)]
    a, b = (pool(x, size).flatten(2) for x in maps)
    return a @ b.transpose(1, 2) / (size[0] * size[1])


def pixel_count(maps: tuple[Tensor, Tensor]) -> int:
    return min(maps[0].shape[2], maps[1].shape[2]) * min(maps[0].shape[3], maps[1].shape[3])


WRONG_VALUES: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "KL without tau²": (original("KLDivergence", tau=4.0), lambda s, t, tau: kl(s, t, tau, len(s))),
    "KL with tau, not tau²": (original("KLDivergence", tau=4.0), lambda s, t, tau: tau * kl(s, t, tau, len(s))),
    "KL with the mean over all elements": (original("KLDivergence"), lambda s, t: kl(s, t, 1.0, s.numel())),
    "KL divided by H · W": (original("KLDivergence"), lambda s, t: kl(s, t, 1.0, s.numel() / s.shape[1])),
    "KL with its sides swapped": (original("KLDivergence"), lambda s, t: kl(t, s, 1.0, len(s))),
    "cross entropy called KL": (
        original("KLDivergence"),
        lambda s, t: F.cross_entropy(s, t.softmax(1), reduction="sum") / len(s),
    ),
    "KL with a softmax over the last axis": (
        original("KLDivergence"),
        lambda s, t: kl(s.movedim(-1, 1), t.movedim(-1, 1), 1.0, len(s)),
    ),
    "KL with tau on the student alone": (
        original("KLDivergence", tau=4.0),
        lambda s, t, tau: tau**2 * kl(s, t * tau, tau, len(s)),
    ),
    "KL of tempered probabilities taken for logits": (
        original("KLDivergence"),
        lambda s, t: kl(s.softmax(1), t.softmax(1), 1.0, len(s)),
    ),
    "mean squared error of probabilities": (
        original("KLDivergence"),
        lambda s, t: F.mse_loss(s.softmax(1), t.softmax(1)),
    ),
    "soft label with T²": (
        original("SoftLabel", teacher_temperature=2.0),
        lambda s, t, teacher_temperature: 4 * F.cross_entropy(s, (t / teacher_temperature).softmax(1)),
    ),
    "soft label averaged over classes": (
        original("SoftLabel"),
        lambda s, t: F.cross_entropy(s, t.softmax(1)) / s.shape[1],
    ),
    "soft label with its temperatures swapped": (
        original("SoftLabel", teacher_temperature=3.0, student_temperature=1.5),
        lambda s, t, teacher_temperature, student_temperature: losses.soft_label(
            s, t, teacher_temperature=student_temperature, student_temperature=teacher_temperature
        ),
    ),
    "hard label of the student": (original("HardLabel"), lambda s, _: F.cross_entropy(s, s.argmax(1))),
    "hard label of the least likely class": (original("HardLabel"), lambda s, t: F.cross_entropy(s, t.argmin(1))),
    "L2 halved": (original("L2"), lambda s, t: F.mse_loss(s, t) / 2),
    "L2 with a root": (original("L2"), lambda s, t: F.mse_loss(s, t).sqrt()),
    "L2 normalised over channels": (
        original("L2", normalize=True),
        lambda s, t, **_: F.mse_loss(F.normalize(s, dim=1), F.normalize(t, dim=1)),
    ),
    "L2 that normalises the student alone": (
        original("L2", normalize=True),
        lambda s, t, **_: F.mse_loss(unit(s), t.flatten(1)),
    ),
    "L1 smoothed": (original("L1"), lambda s, t: F.smooth_l1_loss(s, t)),
    "FSP without / (H · W)": (
        original("FSP"),
        lambda s, t: F.mse_loss(flow(s) * pixel_count(s), flow(t) * pixel_count(t)),
    ),
    "FSP with the maximum for pooling": (
        original("FSP"),
        lambda s, t: F.mse_loss(flow(s, F.adaptive_max_pool2d), flow(t, F.adaptive_max_pool2d)),
    ),
    "FSP summed over channels": (original("FSP"), lambda s, t: (flow(s) - flow(t)).square().sum() / len(s[0])),
    "attention that is not normalised": (
        original("AttentionTransfer"),
        lambda s, t: F.mse_loss(attention(s), attention(t)),
    ),
    "attention divided by the squared norm": (
        original("AttentionTransfer"),
        lambda s, t: F.mse_loss(*(a / a.square().sum(1, keepdim=True) for a in (attention(s), attention(t)))),
    ),
    "attention summed over positions": (
        original("AttentionTransfer"),
        lambda s, t: (unit(attention(s)) - unit(attention(t))).square().sum() / len(s),
    ),
    "attention over channels": (
        original("AttentionTransfer"),
        lambda s, t: F.mse_loss(unit(s.square()), unit(t.square())),
    ),
    "a student that is detached": (original("L2"), lambda s, t: F.mse_loss(s.detach(), t) + 0 * s.sum()),
    "a value in float32": (original("L2"), lambda s, t: F.mse_loss(s.float(), t.float()).double()),
}


def log_of_softmax(s: Tensor, t: Tensor) -> Tensor:
    p, q = t.softmax(1), s.softmax(1)
    return (p * (p.log() - q.log())).sum() / len(s)


def over_batch_statistics(s: Tensor, t: Tensor) -> Tensor:
    s, t = s - s.mean(dim=0), t - t.mean(dim=0)
    return F.mse_loss(s / s.norm(dim=0), t / t.norm(dim=0))


def in_given_precision(s: Tensor, t: Tensor) -> Tensor:
    return (s - t).square().mean()


def in_rounded_precision(s: Tensor, t: Tensor) -> Tensor:
    return (s - t).square().mean().float()


def flow_under_autocast(s: Any, t: Any) -> Tensor:
    pairs = [tuple(x.float() for x in side) for side in (s, t)]
    return F.mse_loss(flow(pairs[0]).float(), flow(pairs[1]).float())


def of_own_shapes(s: Tensor, t: Tensor) -> Tensor:
    return (s - t).square().mean()


def looked_at(s: Tensor, t: Tensor) -> Tensor:
    return F.mse_loss(s, t) if (s != t).any() else s.sum() * 0


def viewed(s: Tensor, t: Tensor) -> Tensor:
    return F.mse_loss(s.view(len(s), -1), t.view(len(t), -1))


def changed_in_place(s: Tensor, t: Tensor) -> Tensor:
    with torch.no_grad():
        s.sub_(s.mean())
    return F.mse_loss(s, t)


def check_bfloat16(subject: Subject) -> None:
    loss_checks.check_half_precision(subject, torch.bfloat16)


WRONG_MANNERS: dict[str, tuple[Subject, Callable[..., Tensor], Check]] = {
    "the log of a softmax": (original("KLDivergence"), log_of_softmax, loss_checks.check_extremes),
    "statistics of a batch of one": (original("L2"), over_batch_statistics, loss_checks.check_extremes),
    "computed in half": (original("L2"), in_given_precision, check_bfloat16),
    "computed in half, then float32": (original("L2"), in_rounded_precision, check_bfloat16),
    "a matrix product under autocast": (original("FSP"), flow_under_autocast, loss_checks.check_autocast),
    "a wider side that is rounded": (
        original("FSP"),
        lambda s, t: losses.fsp([x.float() for x in s], [x.bfloat16() for x in t]),
        loss_checks.check_mixed_precision,
    ),
    "float64 that is lost": (original("L2"), in_rounded_precision, loss_checks.check_float64),
    "a broadcast": (original("L2"), of_own_shapes, loss_refusals.check_shapes),
    "any rank": (original("L2"), of_own_shapes, loss_refusals.check_ranks),
    "a value that Python looks at": (original("L2"), looked_at, loss_checks.check_compiled),
    "one memory layout": (original("L2"), viewed, loss_checks.check_layouts),
    "an input changed in place": (original("L2"), changed_in_place, loss_checks.check_inputs_are_left_alone),
    "a vector": (original("L2"), lambda s, t: (s - t).square().mean(dim=0), loss_checks.check_value_is_scalar),
    "a detached part": (
        original("L2"),
        lambda s, t: F.mse_loss(s / 2 + s.detach() / 2, t),
        loss_checks.check_gradcheck,
    ),
    "a function that detaches": (
        original("L2"),
        lambda s, t: F.mse_loss(s, t.detach()),
        loss_checks.check_function_against_reference,
    ),
}

WRONG_FACTS: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "zero_at_equality": (original("KLDivergence"), lambda s, t: F.cross_entropy(s, t.softmax(1))),
    "non_negative": (original("KLDivergence"), lambda s, t: -kl(s, t, 1.0, len(s))),
    "per_sample_mean": (original("KLDivergence"), lambda s, t: kl(s, t, 1.0, 1.0)),
    "shift_invariant": (original("KLDivergence"), lambda s, t: F.mse_loss(s, t)),
    "scale_invariant": (original("AttentionTransfer"), lambda s, t: F.mse_loss(attention(s), attention(t))),
    "permutation_invariant": (original("L2"), lambda s, t: F.mse_loss(s[0], t[0])),
    "ce_form": (original("SoftLabel"), lambda s, t: losses.hard_label(s, t)),
}
