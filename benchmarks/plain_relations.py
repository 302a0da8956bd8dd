"""Losses of relations as one writes them from their papers: straight, without checks, in float32 as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def nst(s: Tensor, t: Tensor) -> Tensor:
    s, t = (F.normalize(x.flatten(2), dim=2) for x in (s, t))
    return _kernel(t, t).mean() + _kernel(s, s).mean() - 2 * _kernel(s, t).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """All products of two channels at every pixel first, then their sum over the pixels, as RepDistiller does."""
    return (a.unsqueeze(1) * b.unsqueeze(2)).sum(dim=3).pow(2)


def pkt(s: Tensor, t: Tensor, *, eps: float = 1e-7) -> Tensor:
    q_s, q_t = (_neighbours(x, eps) for x in (s, t))
    return (q_t * torch.log((q_t + eps) / (q_s + eps))).mean()


def _neighbours(x: Tensor, eps: float) -> Tensor:
    x = x / (torch.sqrt((x**2).sum(dim=1, keepdim=True)) + eps)
    similarity = (x @ x.t() + 1) / 2
    return similarity / similarity.sum(dim=1, keepdim=True)


def similarity_preserving(s: Tensor, t: Tensor) -> Tensor:
    g_s, g_t = (F.normalize(x.flatten(1) @ x.flatten(1).t()) for x in (s, t))
    return (g_t - g_s).pow(2).sum() / len(s) ** 2


def correlation_congruence(s: Tensor, t: Tensor) -> Tensor:
    delta = (s - t).abs()
    return (delta[:-1] * delta[1:]).sum(dim=1).mean()


def rkd_distance(s: Tensor, t: Tensor) -> Tensor:
    d_s, d_t = (_distances(x) for x in (s, t))
    return F.smooth_l1_loss(d_s / d_s[d_s > 0].mean(), d_t / d_t[d_t > 0].mean())


def _distances(x: Tensor) -> Tensor:
    """By inner products, as the authors do."""
    squares = x.pow(2).sum(dim=1)
    found = (squares.unsqueeze(1) + squares.unsqueeze(0) - 2 * x @ x.t()).clamp(min=1e-12).sqrt().clone()
    found[range(len(x)), range(len(x))] = 0
    return found


def rkd_angle(s: Tensor, t: Tensor) -> Tensor:
    return F.smooth_l1_loss(_angles(s), _angles(t))


def _angles(x: Tensor) -> Tensor:
    """Of all triplets at once, as the authors do."""
    directions = F.normalize(x.unsqueeze(0) - x.unsqueeze(1), dim=2)
    return torch.bmm(directions, directions.transpose(1, 2)).view(-1)


def ickd(s: Tensor, t: Tensor) -> Tensor:
    g_s, g_t = (F.normalize(torch.bmm(x.flatten(2), x.flatten(2).transpose(1, 2)), dim=2) for x in (s, t))
    return (g_s - g_t).pow(2).sum() / (s.shape[1] * len(s) ** 2)


def kdsvd(s: Sequence[Tensor], t: Sequence[Tensor], *, k: int = 1) -> Tensor:
    """By a singular value decomposition of each map, as the authors do."""
    value, previous = torch.zeros((), dtype=s[0].dtype), None
    for map_s, map_t in zip(s, t, strict=True):
        _, _, vh_s = torch.linalg.svd(map_s.flatten(2).transpose(1, 2), full_matrices=False)
        _, sizes, vh_t = torch.linalg.svd(map_t.flatten(2).transpose(1, 2), full_matrices=False)
        v_s, v_t = vh_s[:, : k + 3].transpose(1, 2), vh_t[:, :k].transpose(1, 2)
        v_t = v_t * v_t.gather(1, v_t.abs().argmax(dim=1, keepdim=True)).sign()
        cosines = (v_s.transpose(1, 2) @ v_t).detach()
        best = cosines.abs().argmax(dim=1, keepdim=True)
        v_s = v_s.gather(2, best.expand(-1, v_s.shape[1], -1)) * cosines.gather(1, best).sign()
        scale = F.normalize(sizes[:, :k], dim=1).unsqueeze(1)
        now = v_s * scale, v_t * scale
        if previous is not None:
            r_s, r_t = (
                torch.exp(-((a.unsqueeze(2) - b.unsqueeze(1)) ** 2) / 8) for a, b in zip(now, previous, strict=True)
            )
            value = value + ((r_s - r_t) ** 2).sum() / len(map_s)
        previous = now
    return value


def crd(s: Tensor, t: Tensor, labels: Tensor, index: Tensor, *, like: nn.Module) -> Tensor:
    """The rows of all negatives are gathered, (N, K + 1, 128) for each side, as the authors do.

    The negatives are drawn as ours are, so that they are the same.
    """
    like.get_buffer("classes")[index] = labels
    chosen = torch.cat([index.unsqueeze(1), like.draw(labels)], dim=1)
    e_s, e_t = (
        F.normalize(F.linear(x, like.get_parameter(f"{name}.weight"), like.get_parameter(f"{name}.bias")))
        for x, name in ((s, "student_embedding"), (t, "teacher_embedding"))
    )
    value = _contrast(e_s, chosen, like.get_submodule("teacher_bank"))
    value = value + _contrast(e_t, chosen, like.get_submodule("student_bank"))
    with torch.no_grad():
        for name, moved in (("student_bank", e_s), ("teacher_bank", e_t)):
            rows = like.get_buffer(f"{name}.rows")
            rows.index_copy_(0, index, F.normalize(0.5 * rows.index_select(0, index) + 0.5 * moved))
    return value


def _contrast(embedded: Tensor, chosen: Tensor, bank: nn.Module, *, tau: float = 0.07, eps: float = 1e-7) -> Tensor:
    rows, log_z = bank.get_buffer("rows"), bank.get_buffer("log_z")
    n, width = chosen.shape
    weight = rows.index_select(0, chosen.view(-1)).view(n, width, -1)
    out = torch.exp(torch.bmm(weight, embedded.unsqueeze(2)).squeeze(2) / tau)
    if log_z.isneginf():
        log_z.copy_((out.detach().mean() * len(rows)).log())
    x, noise = out / log_z.exp(), (width - 1) / len(rows)
    hits = torch.log(x[:, 0] / (x[:, 0] + noise + eps)).sum()
    misses = torch.log(noise / (x[:, 1:] + noise + eps)).sum()
    return -(hits + misses) / n
