"""Losses of features as one writes them from their papers: straight, without checks, in float32 as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def l1(s: Tensor, t: Tensor) -> Tensor:
    return F.l1_loss(s, t)


def l2(s: Tensor, t: Tensor) -> Tensor:
    return F.mse_loss(s, t)


def mgd(s: Tensor, t: Tensor) -> Tensor:
    return F.mse_loss(s, t, reduction="sum") / len(s)


def attention_transfer(s: Tensor, t: Tensor) -> Tensor:
    a, b = (F.normalize(x.pow(2).mean(dim=1).flatten(1)) for x in (s, t))
    return (a - b).pow(2).mean()


def fsp(s: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
    return (_flow(*s) - _flow(*t)).pow(2).mean()


def _flow(a: Tensor, b: Tensor) -> Tensor:
    """All products of two channels at every pixel first, then their mean over the pixels, as RepDistiller does."""
    size = min(a.shape[2], b.shape[2])
    if a.shape[2] > size:
        a = F.adaptive_avg_pool2d(a, size)
    if b.shape[2] > size:
        b = F.adaptive_avg_pool2d(b, size)
    return (a.flatten(2).unsqueeze(2) * b.flatten(2).unsqueeze(1)).mean(dim=3)


def activation_boundary(s: Tensor, t: Tensor, *, margin: float = 1.0) -> Tensor:
    below = (s + margin) ** 2 * ((s > -margin) & (t <= 0)).to(s.dtype)
    above = (s - margin) ** 2 * ((s <= margin) & (t > 0)).to(s.dtype)
    return 3 * (below + above).sum() / (1000 * len(s))


def factor_transfer(s: Tensor, t: Tensor) -> Tensor:
    return (F.normalize(s.flatten(1)) - F.normalize(t.flatten(1))).abs().mean()


def ofd(s: Tensor, t: Tensor) -> Tensor:
    error = F.mse_loss(s, t, reduction="none")
    return (error * ((s > t) | (t > 0)).to(s.dtype)).sum() / len(s) / 1000


def vid(s: Tensor, t: Tensor, *, like: nn.Module) -> Tensor:
    first, second, third = (like.get_parameter(f"regressor.{place}.weight") for place in range(3))
    mean = F.conv2d(F.relu(F.conv2d(F.relu(F.conv2d(s, first)), second)), third)
    variance = (torch.log(1 + torch.exp(like.get_parameter("alpha"))) + 1e-5).view(1, -1, 1, 1)
    return (0.5 * ((mean - t) ** 2 / variance + torch.log(variance))).mean()


def hierarchical_context(s: Tensor, t: Tensor) -> Tensor:
    value, weight, total = F.mse_loss(s, t), 1.0, 1.0
    for size in (4, 2, 1):
        if size < s.shape[2]:
            weight /= 2
            pooled = F.adaptive_avg_pool2d(s, (size, size)), F.adaptive_avg_pool2d(t, (size, size))
            value = value + weight * F.mse_loss(*pooled)
            total += weight
    return value / total


def srd(s: Tensor, t: Tensor) -> Tensor:
    s, t = ((x - x.mean(dim=0)) / torch.sqrt(x.var(dim=0, unbiased=False) + 1e-4) for x in (s, t))
    return 2 * torch.log((s - t).abs().pow(4).sum())


def activation_norm(s: Tensor) -> Tensor:
    return -s.abs().mean()


def simkd(s: Tensor, t: Tensor) -> Tensor:
    return F.mse_loss(s, t)


def srrl(s: Tensor, t: Tensor, classifier: Tensor) -> Tensor:
    s, t = F.adaptive_avg_pool2d(s, 1).flatten(1), F.adaptive_avg_pool2d(t, 1).flatten(1)
    return F.mse_loss(s, t) + F.mse_loss(F.linear(s, classifier), F.linear(t, classifier))
