"""Losses of dense prediction as one writes them from their papers: straight, without checks, in float32 as it comes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cwd(s: Tensor, t: Tensor, *, tau: float = 1.0) -> Tensor:
    rows_s, rows_t = (x.reshape(-1, x.shape[2] * x.shape[3]) for x in (s, t))
    p_t = F.softmax(rows_t / tau, dim=1)
    errors = p_t * F.log_softmax(rows_t / tau, dim=1) - p_t * F.log_softmax(rows_s / tau, dim=1)
    return errors.sum() * tau**2 / (s.shape[0] * s.shape[1])


def pkd(s: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
    value = torch.zeros((), dtype=s[0].dtype)
    for map_s, map_t in zip(s, t, strict=True):
        value = value + F.mse_loss(_standardized(map_s), _standardized(map_t)) / 2
    return value


def _standardized(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    rows = x.permute(1, 0, 2, 3).reshape(c, -1)
    rows = (rows - rows.mean(dim=1, keepdim=True)) / (rows.std(dim=1, keepdim=True) + 1e-6)
    return rows.reshape(c, n, h, w).permute(1, 0, 2, 3)


def fbkd(s: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
    mask = ((s[4] + t[4]) / 2).detach() * ((s[5] + t[5]) / 2).detach()
    feature = ((s[0] - t[0]) ** 2 * mask).sum() ** 0.5
    channels, space, relation = (torch.dist(a, b) for a, b in zip(s[1:4], t[1:4], strict=True))
    return 7e-5 * feature + 4e-3 * channels + 4e-3 * space + 7e-5 * relation


def yolo_head_l2(s: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
    return sum((F.mse_loss(a, b) for a, b in zip(s, t, strict=True)), torch.zeros((), dtype=s[0].dtype))


def yolo_fine_grained(s: Sequence[Tensor], t: Sequence[Tensor], *, num_classes: int, nms: bool = False) -> Tensor:
    value = torch.zeros((), dtype=s[0].dtype)
    for map_s, map_t in zip(s, t, strict=True):
        n, _, h, w = map_s.shape
        # (N, A, H, W, 5 + C), as YOLO's losses have it
        mine, truth = (x.view(n, -1, 5 + num_classes, h, w).permute(0, 1, 3, 4, 2) for x in (map_s, map_t))
        seen = truth[..., 4]
        if nms:
            seen = _suppressed(seen, truth[..., 5:].argmax(dim=4))
        score = torch.sigmoid(seen)
        x, y = (_cross_entropy(mine[..., i], torch.sigmoid(truth[..., i])) for i in (0, 1))
        w, h = ((mine[..., i] - truth[..., i]).abs() for i in (2, 3))
        classes = _cross_entropy(mine[..., 5:], torch.sigmoid(truth[..., 5:])) * score.unsqueeze(-1)
        objects = _cross_entropy(mine[..., 4], (seen > 0).to(seen.dtype))
        value = value + ((x + y + w + h) * score).mean() + classes.mean() + objects.mean()
    return value


def _cross_entropy(z: Tensor, q: Tensor) -> Tensor:
    return z.clamp(min=0) - z * q + torch.log(1 + torch.exp(-z.abs()))


def _suppressed(objectness: Tensor, classes: Tensor) -> Tensor:
    """Every prediction against all anchors of the nine cells, one shift of the map after the other."""
    _, anchors, h, w = objectness.shape
    padded = F.pad(objectness, (1, 1, 1, 1), value=-torch.inf)
    padded_classes = F.pad(classes, (1, 1, 1, 1), value=-1)
    keep = torch.ones_like(classes, dtype=torch.bool)
    for i in range(3):
        for j in range(3):
            for anchor in range(anchors):
                other = padded[:, anchor, i : i + h, j : j + w].unsqueeze(1)
                same = padded_classes[:, anchor, i : i + h, j : j + w].unsqueeze(1) == classes
                keep &= ~(same & (other > objectness))
    return objectness.masked_fill(~keep, -torch.inf)


def fgd(s: Tensor, t: Tensor, boxes: Sequence[Tensor], image_size: tuple[int, int], *, like: nn.Module) -> Tensor:
    n, _, h, w = s.shape
    foreground, background = torch.zeros(n, h, w, dtype=s.dtype), torch.zeros(n, h, w, dtype=s.dtype)
    for i in range(n):
        for x1, y1, x2, y2 in boxes[i].tolist():
            left, right = math.floor(x1 / image_size[1] * w), math.ceil(x2 / image_size[1] * w)
            top, bottom = math.floor(y1 / image_size[0] * h), math.ceil(y2 / image_size[0] * h)
            area = 1 / ((right + 1 - left) * (bottom + 1 - top))
            inside = foreground[i, top : bottom + 1, left : right + 1]
            foreground[i, top : bottom + 1, left : right + 1] = torch.maximum(inside, torch.full_like(inside, area))
        background[i] = torch.where(foreground[i] > 0, 0.0, 1.0)
        if background[i].sum() > 0:
            background[i] /= background[i].sum()
    (pixels_s, channels_s), (pixels_t, channels_t) = _attention(s), _attention(t)
    attended_s, attended_t = (x * pixels_t.sqrt() * channels_t.sqrt() for x in (s, t))
    of_objects, of_background = (
        F.mse_loss(attended_s * mask.sqrt().unsqueeze(1), attended_t * mask.sqrt().unsqueeze(1), reduction="sum") / n
        for mask in (foreground, background)
    )
    seen = ((channels_s - channels_t).abs().sum() + (pixels_s - pixels_t).abs().sum()) / n
    related = F.mse_loss(_related(s, like, "student"), _related(t, like, "teacher"), reduction="sum") / n
    return 1e-3 * of_objects + 5e-4 * of_background + 5e-4 * seen + 5e-6 * related


def _attention(x: Tensor, tau: float = 0.5) -> tuple[Tensor, Tensor]:
    n, c, h, w = x.shape
    pixels = h * w * F.softmax((x.abs().mean(dim=1) / tau).view(n, -1), dim=1).view(n, 1, h, w)
    channels = c * F.softmax(x.abs().mean(dim=(2, 3)) / tau, dim=1).view(n, c, 1, 1)
    return pixels, channels


def _related(x: Tensor, like: nn.Module, side: str) -> Tensor:
    n, c, h, w = x.shape
    own = dict(like.get_submodule(f"{side}_relation").named_parameters())
    weights = F.softmax(F.conv2d(x, own["attention.weight"].view(1, c, 1, 1)).view(n, 1, h * w), dim=2)
    context = torch.matmul(x.view(n, 1, c, h * w), weights.unsqueeze(3)).view(n, c)
    hidden = F.linear(context, own["transform.0.weight"], own["transform.0.bias"])
    hidden = F.relu(F.layer_norm(hidden, hidden.shape[1:], own["transform.1.weight"], own["transform.1.bias"]))
    return x + F.linear(hidden, own["transform.3.weight"], own["transform.3.bias"]).view(n, c, 1, 1)


def localization_distillation(s: Tensor, t: Tensor, weights: Tensor, *, tau: float = 10.0) -> Tensor:
    if s.ndim == 4:
        bins = s.shape[1] // 4
        s, t = (x.permute(0, 2, 3, 1).reshape(-1, 4, bins) for x in (s, t))
    rows_s, rows_t = (x.reshape(-1, x.shape[2]) for x in (s, t))
    target = F.softmax(rows_t / tau, dim=1)
    of_rows = F.kl_div(F.log_softmax(rows_s / tau, dim=1), target, reduction="none").mean(dim=1) * tau**2
    return (of_rows * weights.reshape(-1, 1).expand(-1, 4).reshape(-1)).sum() / 4


def cross_kd(
    s: Sequence[Tensor], t: Sequence[Tensor], hidden: Sequence[Tensor], tail: nn.Module, positives: int
) -> Tensor:
    value = torch.zeros((), dtype=s[0].dtype)
    for own, truth, like in zip(s, t, hidden, strict=True):
        rows, rows_like = (x.permute(1, 0, 2, 3).reshape(x.shape[1], -1) for x in (own, like))
        rows = (rows - rows.mean(dim=1, keepdim=True)) / (rows.std(dim=1, keepdim=True) + 1e-6)
        rows = rows * rows_like.std(dim=1, keepdim=True) + rows_like.mean(dim=1, keepdim=True)
        n, c, h, w = own.shape
        crossed = tail(F.relu(rows.reshape(c, n, h, w).permute(1, 0, 2, 3)))
        target = torch.sigmoid(truth)
        error = F.binary_cross_entropy_with_logits(crossed, target, reduction="none")
        value = value + (error * (torch.sigmoid(crossed) - target).abs()).sum() / positives
    return value
