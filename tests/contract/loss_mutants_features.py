"""As loss_mutants.py, for the losses of features and of relations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import loss_checks
import loss_refusals
import torch
from loss_mutants import Check, kl, original
from loss_subjects import Subject
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import losses
from stillroom.losses.shapes import VECTORS, check_shapes


def distances_by_the_mean_of_all(x: Tensor) -> Tensor:
    every = torch.cdist(x.flatten(1), x.flatten(1))
    return every / every.mean()


def positions(x: Tensor) -> Tensor:
    return x.flatten(2).flatten(0, 1)


def context_with_fixed_weights(s: Tensor, t: Tensor) -> Tensor:
    fitting = [(size, weight) for size, weight in ((4, 1 / 2), (2, 1 / 4), (1, 1 / 8)) if size < s.shape[2]]
    pooled = sum(weight * F.adaptive_avg_pool2d(s - t, size).square().mean() for size, weight in fitting)
    return (F.mse_loss(s, t) + pooled) / (1 + sum(weight for _, weight in fitting))


def correlation_with_biased_deviation(students: Any, teachers: Any) -> Tensor:
    def standardised(x: Tensor) -> Tensor:
        return (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), correction=0, keepdim=True) + 1e-6)

    pairs = [(F.interpolate(s, t.shape[2:], mode="bilinear"), t) for s, t in zip(students, teachers, strict=True)]
    return sum(F.mse_loss(standardised(s), standardised(t)) for s, t in pairs) / 2


def without_channel_mask(student: Any, teacher: Any) -> Tensor:
    ones = torch.ones_like(student[5])
    return losses.fbkd((*student[:5], ones), (*teacher[:5], ones))


WRONG_VALUES: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "OFD where the teacher is silent": (original("OFD"), lambda s, t: (s - t).square().sum() / (1000 * len(s))),
    "RKD with the diagonal in its mean": (
        original("RKDDistance"),
        lambda s, t: F.smooth_l1_loss(distances_by_the_mean_of_all(s), distances_by_the_mean_of_all(t)),
    ),
    "channel-wise without tau²": (
        original("CWD", tau=4.0),
        lambda s, t, tau: kl(positions(s), positions(t), tau, len(positions(s))),
    ),
    "channel-wise divided by H · W": (original("CWD"), lambda s, t: kl(positions(s), positions(t), 1.0, s.numel())),
    "channels' correlation divided by N once": (original("ICKD"), lambda s, t: losses.ickd(s, t) * len(s)),
    "context with weights that are left out": (original("HierarchicalContext"), context_with_fixed_weights),
    "SimKD with its larger map resized": (
        original("SimKD"),
        lambda s, t: F.mse_loss(F.interpolate(s, t.shape[2:], mode="bilinear"), t),
    ),
    "SRRL of the logits alone": (
        original("SRRL"),
        lambda s, t, classifier: F.linear((s - t).mean((2, 3)), classifier).square().mean(),
    ),
    "SRRL with another classifier": (
        original("SRRL"),
        lambda s, t, classifier: losses.srrl(s, t, classifier=classifier.flip(0).abs()),
    ),
    "FBKD without its channel mask": (original("FBKD"), without_channel_mask),
    "PKD with the biased deviation": (original("PKD"), correlation_with_biased_deviation),
}


def distances_by_the_mean_of_none(s: Tensor, t: Tensor) -> Tensor:
    every = [torch.cdist(x.flatten(1), x.flatten(1)) for x in (s, t)]
    return F.smooth_l1_loss(*(d / (d.sum() / (d > 0).sum()) for d in every))


def root_of_a_squared_distance(s: Tensor, t: Tensor) -> Tensor:
    every = [(x.flatten(1)[:, None] - x.flatten(1)).square().sum(2).sqrt() for x in (s, t)]
    return F.smooth_l1_loss(*(d / (d.sum() / (d > 0).sum().clamp_min(1)).clamp_min(1e-12) for d in every))


def of_any_batch(s: Tensor, t: Tensor) -> Tensor:
    check_shapes(s, t, VECTORS)
    return 2 * F.mse_loss(s, t).log()


WRONG_MANNERS: dict[str, tuple[Subject, Callable[..., Tensor], Check]] = {
    "a mean over no distances": (original("RKDDistance"), distances_by_the_mean_of_none, loss_checks.check_extremes),
    "the root of 0": (original("RKDDistance"), root_of_a_squared_distance, loss_checks.check_extremes),
    "a teacher's block that is not trained": (
        original("FBKD"),
        losses.fbkd,
        loss_checks.check_teacher_gets_no_gradient,
    ),
    "a batch that is too small": (original("SRD"), of_any_batch, loss_refusals.check_ranks),
}


class FixedVariance(losses.VID):
    @property
    def variance(self) -> Tensor:
        return super().variance.detach()


WRONG_MODULES: dict[str, tuple[Subject, type[nn.Module]]] = {
    "VID whose variance stays": (original("VID", student_channels=3, teacher_channels=3), FixedVariance),
}
