"""What each loss of features must be; see loss_references.py."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from loss_references import Array, pooled, probabilities


def activation_boundary(student: Array, teacher: Array, *, margin: float = 1.0) -> float:
    total = 0.0
    for s, t in zip(student.flat, teacher.flat, strict=True):
        if s > -margin and t <= 0:
            total += (s + margin) ** 2
        if s <= margin and t > 0:
            total += (s - margin) ** 2
    return 3 * total / (1000 * len(student))


def factor_transfer(student: Array, teacher: Array, *, p: float = 1) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        norm_s, norm_t = math.sqrt(sum(v * v for v in s.flat)), math.sqrt(sum(v * v for v in t.flat))
        total += sum(abs(a / norm_s - b / norm_t) ** p for a, b in zip(s.flat, t.flat, strict=True))
    return total / student.size


def ofd(student: Array, teacher: Array) -> float:
    pairs = zip(student.flat, teacher.flat, strict=True)
    return sum((s - t) ** 2 for s, t in pairs if s > t or t > 0) / len(student) / 1000


def mgd(student: Array, teacher: Array) -> float:
    return sum((s - t) ** 2 for s, t in zip(student.flat, teacher.flat, strict=True)) / len(student)


def srd(student: Array, teacher: Array, *, exponent: float = 4) -> float:
    """The paper's, without an eps in the logarithm: it must not be seen where student and teacher differ."""
    total = 0.0
    for column_s, column_t in zip(student.T, teacher.T, strict=True):
        pairs = zip(_batch_normed(column_s), _batch_normed(column_t), strict=True)
        total += sum(abs(s - t) ** exponent for s, t in pairs)
    return 2 * math.log(total)


def _batch_normed(column: Array) -> list[float]:
    mean = sum(column) / len(column)
    variance = sum((v - mean) ** 2 for v in column) / len(column)
    return [(v - mean) / math.sqrt(variance + 1e-4) for v in column]


def hierarchical_context(student: Array | tuple[Array, ...], teacher: Array | tuple[Array, ...]) -> float:
    if isinstance(student, tuple):
        return sum(hierarchical_context(s, t) for s, t in zip(student, teacher, strict=True))
    value, weight, weights = _mean_square(student, teacher), 1.0, 1.0
    for size in (4, 2, 1):
        if size < student.shape[2]:
            weight = weight / 2
            value += weight * _mean_square(_averaged(student, size), _averaged(teacher, size))
            weights += weight
    return value / weights


def _mean_square(a: Array, b: Array) -> float:
    return sum((x - y) ** 2 for x, y in zip(a.flat, b.flat, strict=True)) / a.size


def _averaged(x: Array, size: int) -> Array:
    """size x size cells, each the mean of the pixels that it touches."""
    out = np.zeros((*x.shape[:2], size, size))
    for i, j in np.ndindex(size, size):
        rows, columns = _touched(i, size, x.shape[2]), _touched(j, size, x.shape[3])
        out[:, :, i, j] = sum(x[:, :, row, column] for row in rows for column in columns) / (len(rows) * len(columns))
    return out


def _touched(cell: int, cells: int, pixels: int) -> list[int]:
    start, end = cell * pixels / cells, (cell + 1) * pixels / cells
    return [pixel for pixel in range(pixels) if pixel + 1 > start + 1e-9 and pixel < end - 1e-9]


def cwd(student: Array, teacher: Array, *, tau: float = 1.0) -> float:
    total, count = 0.0, 0
    for n, c in np.ndindex(student.shape[:2]):
        q = probabilities(list(student[n, c].flat), tau)
        p = probabilities(list(teacher[n, c].flat), tau)
        total += sum(b * (math.log(b) - math.log(a)) for a, b in zip(q, p, strict=True))
        count += 1
    return tau * tau * total / count


def pkd(student: Array | tuple[Array, ...], teacher: Array | tuple[Array, ...], *, resize: str = "student") -> float:
    if isinstance(student, tuple):
        return sum(pkd(s, t, resize=resize) for s, t in zip(student, teacher, strict=True))
    if resize == "student":
        student = _bilinear(student, *teacher.shape[2:])
    else:
        teacher = _bilinear(teacher, *student.shape[2:])
    total = 0.0
    for c in range(student.shape[1]):
        pairs = zip(_standardised(student[:, c]), _standardised(teacher[:, c]), strict=True)
        total += sum((a - b) ** 2 for a, b in pairs)
    return total / student.size / 2


def _standardised(channel: Array) -> list[float]:
    values = [float(v) for v in channel.flat]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return [(v - mean) / (deviation + 1e-6) for v in values]


def _bilinear(x: Array, height: int, width: int) -> Array:
    out = np.zeros((*x.shape[:2], height, width))
    for i, j in np.ndindex(height, width):
        for row, weight_y in _taps(i, height, x.shape[2]):
            for column, weight_x in _taps(j, width, x.shape[3]):
                out[:, :, i, j] += weight_y * weight_x * x[:, :, row, column]
    return out


def _taps(pixel: int, count: int, given: int) -> Iterator[tuple[int, float]]:
    """The two neighbours of where a pixel's centre falls, pixels being areas, and their weights."""
    place = max(0.0, (pixel + 0.5) * given / count - 0.5)
    low = min(int(place), given - 1)
    yield low, 1 - (place - low)
    yield min(low + 1, given - 1), place - low


def vid(student: Array, teacher: Array, *, state: Any, eps: float = 1e-5, **_: Any) -> float:
    """At the loss's own weights: what they are at first is none of the formula's."""
    total, count = 0.0, 0
    height, width = (min(student.shape[axis], teacher.shape[axis]) for axis in (2, 3))
    for s, t in zip(student, teacher, strict=True):
        s, t = pooled(s, height, width), pooled(t, height, width)
        for i, j in np.ndindex(height, width):
            hidden = [float(v) for v in s[:, i, j]]
            for layer in range(3):
                if layer > 0:
                    hidden = [max(v, 0.0) for v in hidden]
                rows = state[f"regressor.{layer}.weight"][:, :, 0, 0]
                hidden = [sum(w * v for w, v in zip(row, hidden, strict=True)) for row in rows]
            for mean, truth, alpha in zip(hidden, t[:, i, j], state["alpha"], strict=True):
                variance = math.log(1 + math.exp(alpha)) + eps
                total += ((mean - truth) ** 2 / variance + math.log(variance)) / 2
                count += 1
    return total / count


def simkd(student: Array, teacher: Array) -> float:
    height, width = (min(student.shape[axis], teacher.shape[axis]) for axis in (2, 3))
    errors = [
        (a - b) ** 2
        for s, t in zip(student, teacher, strict=True)
        for a, b in zip(pooled(s, height, width).flat, pooled(t, height, width).flat, strict=True)
    ]
    return sum(errors) / len(errors)


def srrl(student: Array, teacher: Array, *, classifier: Array, weight: float = 1.0) -> float:
    """With a bias, as the teacher's classifier has one."""
    bias = np.arange(len(classifier)) - 2.5
    features, logits = 0.0, 0.0
    for s, t in zip(student, teacher, strict=True):
        c, f = ([float(np.mean(channel)) for channel in side] for side in (s, t))
        features += sum((a - b) ** 2 for a, b in zip(c, f, strict=True)) / len(c)
        h, z = (
            [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(classifier, bias, strict=True)]
            for x in (c, f)
        )
        logits += sum((a - b) ** 2 for a, b in zip(h, z, strict=True)) / len(h)
    return (features + weight * logits) / len(student)


def fbkd(
    student: tuple[Array, ...],
    teacher: tuple[Array, ...],
    *,
    fixed: Any,
    feature: float = 7e-5,
    channels: float = 4e-3,
    space: float = 4e-3,
    relation: float = 7e-5,
) -> float:
    masked = 0.0
    for n, c, i, j in np.ndindex(student[0].shape):
        place = (fixed.student[4][n, 0, i, j] + fixed.teacher[4][n, 0, i, j]) / 2
        channel = (fixed.student[5][n, c, 0, 0] + fixed.teacher[5][n, c, 0, 0]) / 2
        masked += (student[0][n, c, i, j] - teacher[0][n, c, i, j]) ** 2 * place * channel
    value = feature * math.sqrt(masked)
    for part, weight in ((1, channels), (2, space), (3, relation)):
        pairs = zip(student[part].flat, teacher[part].flat, strict=True)
        value += weight * math.sqrt(sum((s - t) ** 2 for s, t in pairs))
    return value
