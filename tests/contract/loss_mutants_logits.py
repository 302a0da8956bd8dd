"""As loss_mutants.py, for the losses of logits beyond the first three, and for a generator's."""

from __future__ import annotations

import math
from collections.abc import Callable

import loss_checks
import torch
from loss_mutants import Check, kl, original
from loss_subjects import Subject
from torch import Tensor
from torch.nn import functional as F

from stillroom import losses


def pearson(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """With eps added to each norm, not to their product."""
    a, b = a - a.mean(dim, keepdim=True), b - b.mean(dim, keepdim=True)
    return (a * b).sum(dim) / (a.norm(dim=dim) + 1e-8) / (b.norm(dim=dim) + 1e-8)


def unit_variance(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[1:], eps=1e-14)


def tempered_relations(s: Tensor, t: Tensor, taus: tuple[float, ...] = (2, 3, 4, 5, 6)) -> Tensor:
    whole = losses.multi_level_kd(s, t, taus=taus)
    for tau in taus:
        divergence = losses.kl_divergence(s, t, tau=tau)
        whole = whole + (tau**2 - 1) * (losses.multi_level_kd(s, t, taus=(tau,)) - divergence)
    return whole


def differentiated_weights(s: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    error_s, error_t = (F.cross_entropy(x, labels, reduction="none") for x in (s, t))
    weights = 1 - torch.exp(-error_s / (error_t + 1e-7))
    return 4 * (weights * -((t / 2).softmax(1) * (s / 2).log_softmax(1)).sum(1)).mean()


def boosted(s: Tensor, t: Tensor, labels: Tensor, eps: float) -> Tensor:
    return F.cross_entropy(s, (t.softmax(1) + F.one_hot(labels, s.shape[1])) ** eps)


def hardly_softened(s: Tensor, labels: Tensor) -> Tensor:
    """The virtual probabilities as they are, against the student's softened ones."""
    virtual = torch.full_like(s, 0.1 / (s.shape[1] - 1)).scatter(1, labels[:, None], 0.9)
    return 400 * F.kl_div((s / 20).log_softmax(1), virtual, reduction="batchmean")


WRONG_VALUES: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "DKD summed over the batch": (original("DKD"), lambda s, t, labels: len(s) * losses.dkd(s, t, labels=labels)),
    "DKD of the teacher's choice": (original("DKD"), lambda s, t, **_: losses.dkd(s, t, labels=t.argmax(1))),
    "DKD with the whole divergence for its second part": (
        original("DKD"),
        lambda s, t, labels: losses.dkd(s, t, labels=labels, beta=0.0) + 8 * kl(s, t, 4.0, len(s) / 16),
    ),
    "DIST with an eps on each norm": (
        original("DIST"),
        lambda s, t: 2 - sum(pearson(s.softmax(1), t.softmax(1), dim).mean() for dim in (0, 1)),
    ),
    "DIST of the logits": (original("DIST"), lambda s, t: 2 - sum(pearson(s, t, dim).mean() for dim in (0, 1))),
    "DIST without its columns": (original("DIST"), lambda s, t: losses.dist(s, t, intra=0.0)),
    "standardised by the biased deviation": (
        original("StandardizedKL"),
        lambda s, t: losses.kl_divergence(unit_variance(s), unit_variance(t), tau=2.0),
    ),
    "WSLD with a gradient through its weights": (original("WSLD"), differentiated_weights),
    "WSLD with tempered weights": (
        original("WSLD"),
        lambda s, t, labels: 4 * losses.wsld(s / 2, t / 2, labels=labels, tau=1.0),
    ),
    "spherical with a scale for each side": (
        original("SphericalKD"),
        lambda s, t: losses.soft_label(*(unit_variance(x) * x.std(1, keepdim=True) for x in (s, t))),
    ),
    "multi-level with tau² on its relations": (original("MultiLevelKD"), tempered_relations),
    "OFA that leaves the label in": (original("OFAKD", eps=1.5), boosted),
    "virtual probabilities that are not softened": (original("VirtualTeacher"), hardly_softened),
    "entropy in nats": (original("InformationEntropy"), lambda x: 2.302585 * losses.information_entropy(x)),
}


def log_of_sums(s: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """The binary part of DKD by its probabilities."""
    p, q = ((x / 4).softmax(1).gather(1, labels[:, None]) for x in (t, s))
    p, q = torch.cat((p, 1 - p), dim=1), torch.cat((q, 1 - q), dim=1)
    return 16 * F.kl_div(q.log(), p, reduction="batchmean")


def entropy_by_xlogy(x: Tensor) -> Tensor:
    p = x.softmax(1).mean(0)
    return torch.xlogy(p, p).sum() / math.log(10)


WRONG_MANNERS: dict[str, tuple[Subject, Callable[..., Tensor], Check]] = {
    "the log of a summed probability": (original("DKD"), log_of_sums, loss_checks.check_extremes),
    "x log x where x may be 0": (original("InformationEntropy"), entropy_by_xlogy, loss_checks.check_extremes),
}
