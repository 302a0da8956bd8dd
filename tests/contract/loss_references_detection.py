"""What each loss of dense detectors must be; see loss_references.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from loss_references import Array, probabilities


def fgd(
    student: Array,
    teacher: Array,
    *,
    boxes: list[Array],
    image_size: tuple[int, int],
    state: dict[str, Array],
    tau: float = 0.5,
    **given: float,
) -> float:
    weights = {"alpha": 1e-3, "beta": 5e-4, "gamma": 5e-4, "lambda_": 5e-6} | given
    total = 0.0
    for s, t, of_image in zip(student, teacher, boxes, strict=True):
        objects, background = _cells(of_image, image_size, s.shape[1:])
        pixels, widths = _attention(t, tau)
        own_pixels, own_widths = _attention(s, tau)
        for c, i, j in np.ndindex(s.shape):
            weight = weights["alpha"] * objects[i, j] + weights["beta"] * background[i, j]
            total += weight * pixels[i, j] * widths[c] * (s[c, i, j] - t[c, i, j]) ** 2
        total += weights["gamma"] * sum(abs(a - b) for a, b in zip(own_pixels.flat, pixels.flat, strict=True))
        total += weights["gamma"] * sum(abs(a - b) for a, b in zip(own_widths, widths, strict=True))
        related = _related(s, state, "student_relation") - _related(t, state, "teacher_relation")
        total += weights["lambda_"] * sum(value * value for value in related.flat)
    return total / len(student)


def _cells(boxes: Array, image_size: tuple[int, int], size: tuple[int, ...]) -> tuple[Array, Array]:
    objects = np.zeros(size)
    for x1, y1, x2, y2 in boxes:
        columns = range(math.floor(x1 * size[1] / image_size[1]), math.ceil(x2 * size[1] / image_size[1]) + 1)
        rows = range(math.floor(y1 * size[0] / image_size[0]), math.ceil(y2 * size[0] / image_size[0]) + 1)
        for i, j in np.ndindex(*size):
            if i in rows and j in columns:
                objects[i, j] = max(objects[i, j], 1 / (len(rows) * len(columns)))
    outside = [place for place in np.ndindex(*size) if objects[place] == 0]
    background = np.zeros(size)
    for place in outside:
        background[place] = 1 / len(outside)
    return objects, background


def _attention(x: Array, tau: float) -> tuple[Array, list[float]]:
    channels, height, width = x.shape
    of_pixels = [np.mean(np.abs(x[:, i, j])) for i, j in np.ndindex(height, width)]
    of_channels = [np.mean(np.abs(x[c])) for c in range(channels)]
    pixels = height * width * np.array(probabilities(np.array(of_pixels), tau)).reshape(height, width)
    return pixels, [channels * p for p in probabilities(np.array(of_channels), tau)]


def _related(x: Array, state: dict[str, Array], block: str) -> Array:
    layers = (f"{block}.transform.{place}" for place in (0, 1, 3))
    w = state[f"{block}.attention.weight"][0]
    (w1, b1), (scale, shift), (w2, b2) = ((state[f"{layer}.weight"], state[f"{layer}.bias"]) for layer in layers)
    pixels = [x[:, i, j] for i, j in np.ndindex(x.shape[1:])]
    weights = probabilities(np.array([sum(w * pixel) for pixel in pixels]), 1.0)
    context = sum(weight * pixel for weight, pixel in zip(weights, pixels, strict=True))
    inner = [sum(row * context) + bias for row, bias in zip(w1, b1, strict=True)]
    mean = sum(inner) / len(inner)
    variance = sum((v - mean) ** 2 for v in inner) / len(inner)
    normed = [(v - mean) / math.sqrt(variance + 1e-5) * a + b for v, a, b in zip(inner, scale, shift, strict=True)]
    added = [sum(row * [max(v, 0.0) for v in normed]) + bias for row, bias in zip(w2, b2, strict=True)]
    return x + np.array(added)[:, None, None]


def localization_distillation(student: Array, teacher: Array, *, weights: Array, tau: float = 10.0) -> float:
    total = 0.0
    for s, t, weight in _locations(student, teacher, weights):
        bins = len(s) // 4
        for side in range(4):
            here = slice(side * bins, (side + 1) * bins)
            total += weight * tau**2 * _divergence(s[here], t[here], tau) / bins
    return total / 4


def _locations(student: Array, teacher: Array, weights: Array) -> list[tuple[Array, Array, float]]:
    if student.ndim == 3:
        return [(s.flatten(), t.flatten(), w) for s, t, w in zip(student, teacher, weights, strict=True)]
    places = np.ndindex(weights.shape)
    return [(student[n, :, i, j], teacher[n, :, i, j], weights[n, i, j]) for n, i, j in places]


def _divergence(s: Array, t: Array, tau: float) -> float:
    pairs = zip(probabilities(s, tau), probabilities(t, tau), strict=True)
    return sum(b * (math.log(b) - math.log(a)) for a, b in pairs)


def cross_kd(
    student: Any,
    teacher: Any,
    *,
    hidden: Any,
    tail: dict[str, Array],
    scores: Any = None,
    positives: Any = None,
    **given: Any,
) -> float:
    predictions, gamma, tau, anchors = (
        {"predictions": "scores", "gamma": 1.0, "tau": 1.0, "anchors": 1} | given
    ).values()
    scores = teacher if scores is None else scores
    levels = zip(*((x if isinstance(x, tuple) else (x,)) for x in (student, teacher, hidden, scores)), strict=True)
    total = confidence = 0.0
    for s, t, h, z in levels:
        crossed = _head(_restandardised(s, h), tail)
        for n, i, j in np.ndindex(t.shape[0], *t.shape[2:]):
            for a in range(anchors):
                own, other, logits = (np.split(x[n, :, i, j], anchors)[a] for x in (crossed, t, z))
                weight = max(_sigmoid(v) for v in logits)
                confidence += weight
                if predictions == "scores":
                    total += sum(_focal(v, w, gamma) for v, w in zip(own, other, strict=True))
                elif predictions == "distributions":
                    rows = zip(np.split(own, 4), np.split(other, 4), strict=True)
                    total += weight * tau**2 * sum(_divergence(v, w, tau) for v, w in rows) / 4
                else:
                    total += weight * (1 - _giou(_corners(own, predictions), _corners(other, predictions)))
    return total / max(1.0, float(confidence if positives is None else positives))


def _restandardised(x: Array, like: Array) -> Array:
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        out[:, c] = (x[:, c] - np.mean(x[:, c])) / (np.std(x[:, c], ddof=1) + 1e-6)
        out[:, c] = out[:, c] * np.std(like[:, c], ddof=1) + np.mean(like[:, c])
    return out


def _head(x: Array, tail: dict[str, Array]) -> Array:
    """ReLU, a 3x3 convolution, ReLU, a 1x1 convolution."""
    x = np.pad(np.maximum(x, 0), ((0, 0), (0, 0), (1, 1), (1, 1)))
    n, _, height, width = x.shape
    inner = np.zeros((n, len(tail["0.bias"]), height - 2, width - 2))
    for i, j in np.ndindex(*inner.shape[2:]):
        window = x[:, :, i : i + 3, j : j + 3]
        inner[:, :, i, j] = np.einsum("ncij,ocij->no", window, tail["0.weight"]) + tail["0.bias"]
    of_pixels = np.einsum("nchw,oc->nohw", np.maximum(inner, 0), tail["2.weight"][:, :, 0, 0])
    return of_pixels + tail["2.bias"][:, None, None]


def _sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def _focal(student: float, teacher: float, gamma: float) -> float:
    p, q = _sigmoid(student), _sigmoid(teacher)
    return abs(p - q) ** gamma * -(q * math.log(p) + (1 - q) * math.log(1 - p))


def _corners(values: Array, predictions: str) -> tuple[float, float, float, float]:
    """Of an anchor 7 wide and 3 high around (40, 50), or from the point (40, 50)."""
    if predictions == "distances":
        left, top, right, bottom = (max(float(v), 0.0) for v in values)
        return 40 - left, 50 - top, 40 + right, 50 + bottom
    dx, dy, log_w, log_h = (float(v) for v in values)
    x, y, w, h = 40 + 7 * dx, 50 + 3 * dy, 7 * math.exp(log_w), 3 * math.exp(log_h)
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _giou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    def area(x1: float, y1: float, x2: float, y2: float) -> float:
        return max(0.0, x2 - x1) * max(0.0, y2 - y1)

    overlap = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    hull = area(min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    union = area(*a) + area(*b) - overlap
    return (overlap / union if union else 0.0) - ((hull - union) / hull if hull else 0.0)
