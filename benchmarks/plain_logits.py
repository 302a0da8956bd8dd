"""Losses of logits as one writes them from their papers: straight, without checks, in float32 as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def kl_divergence(s: Tensor, t: Tensor, *, tau: float) -> Tensor:
    p, q = F.softmax(t / tau, dim=1), F.softmax(s / tau, dim=1)
    return (p * (p.log() - q.log())).sum() / len(s) * tau**2


def soft_label(s: Tensor, t: Tensor) -> Tensor:
    return -(F.softmax(t, dim=1) * F.softmax(s, dim=1).log()).sum(dim=1).mean()


def hard_label(s: Tensor, t: Tensor) -> Tensor:
    return F.cross_entropy(s, t.argmax(dim=1))


def dkd(s: Tensor, t: Tensor, labels: Tensor, *, tau: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> Tensor:
    own = F.one_hot(labels, s.shape[1]).to(s.dtype)
    p_s, p_t = F.softmax(s / tau, dim=1), F.softmax(t / tau, dim=1)
    pair_s, pair_t = (
        torch.cat([(p * own).sum(dim=1, keepdim=True), (p * (1 - own)).sum(dim=1, keepdim=True)], dim=1)
        for p in (p_s, p_t)
    )
    target = F.kl_div(pair_s.log(), pair_t, reduction="sum") * tau**2 / len(s)
    log_others_s = F.log_softmax(s / tau - 1000 * own, dim=1)
    others_t = F.softmax(t / tau - 1000 * own, dim=1)
    others = F.kl_div(log_others_s, others_t, reduction="sum") * tau**2 / len(s)
    return alpha * target + beta * others


def dist(s: Tensor, t: Tensor) -> Tensor:
    p_s, p_t = F.softmax(s, dim=1), F.softmax(t, dim=1)
    return (1 - _pearson(p_s, p_t).mean()) + (1 - _pearson(p_s.t(), p_t.t()).mean())


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)


def standardized_kl(s: Tensor, t: Tensor, *, tau: float = 2.0) -> Tensor:
    s, t = ((z - z.mean(dim=1, keepdim=True)) / (z.std(dim=1, keepdim=True) + 1e-7) for z in (s, t))
    return kl_divergence(s, t, tau=tau)


def wsld(s: Tensor, t: Tensor, labels: Tensor, *, tau: float = 2.0) -> Tensor:
    soft = -(F.softmax(t / tau, dim=1) * F.log_softmax(s / tau, dim=1)).sum(dim=1)
    error_s = F.cross_entropy(s.detach(), labels, reduction="none")
    error_t = F.cross_entropy(t, labels, reduction="none")
    weight = 1 - torch.exp(-error_s / (error_t + 1e-7))
    return tau**2 * (weight * soft).mean()


def spherical_kd(s: Tensor, t: Tensor) -> Tensor:
    scale = t.std(dim=1, keepdim=True)
    s, t = (F.layer_norm(z, z.shape[1:], eps=1e-7) * scale for z in (s, t))
    return soft_label(s, t)


def multi_level_kd(s: Tensor, t: Tensor, *, taus: Sequence[float] = (2, 3, 4, 5, 6)) -> Tensor:
    value = torch.zeros((), dtype=s.dtype)
    for tau in taus:
        p_s, p_t = F.softmax(s / tau, dim=1), F.softmax(t / tau, dim=1)
        value = value + kl_divergence(s, t, tau=tau)
        value = value + ((p_t.t() @ p_t - p_s.t() @ p_s) ** 2).sum() / s.shape[1]
        value = value + ((p_t @ p_t.t() - p_s @ p_s.t()) ** 2).sum() / len(s)
    return value


def ofakd(s: Tensor, t: Tensor, labels: Tensor, *, eps: float = 1.0) -> Tensor:
    own = F.one_hot(labels, s.shape[1]).to(s.dtype)
    target = (F.softmax(t, dim=1) + own) ** eps - own
    return -(target * F.log_softmax(s, dim=1)).sum(dim=1).mean()


def curriculum_temperature(s: Tensor, t: Tensor, *, like: nn.Module, start: float = 1.0, end: float = 20.0) -> Tensor:
    theta = like.get_parameter("theta").clone()
    theta.register_hook(torch.neg)
    tau = start + end * torch.sigmoid(theta)
    return F.kl_div(F.log_softmax(s / tau, dim=1), F.softmax(t / tau, dim=1), reduction="batchmean") * tau**2


def virtual_teacher(s: Tensor, labels: Tensor, *, correct: float = 0.9, tau: float = 20.0) -> Tensor:
    virtual = torch.ones_like(s) * (1 - correct) / (s.shape[1] - 1)
    for row, label in enumerate(labels):
        virtual[row, label] = correct
    return F.kl_div(F.log_softmax(s / tau, dim=1), F.softmax(virtual / tau, dim=1), reduction="batchmean") * tau**2


def one_hot_like(s: Tensor) -> Tensor:
    return F.cross_entropy(s, s.argmax(dim=1))


def information_entropy(s: Tensor) -> Tensor:
    p = F.softmax(s, dim=1).mean(dim=0)
    return (p * torch.log10(p)).sum()
