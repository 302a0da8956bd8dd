"""What each loss must be: slow loops over float64 numbers, written from the papers' formulas, apart from the code.

A reference is named like the loss's file and takes arrays: ``reference(student, teacher, **context, **arguments)``. If
it has an argument ``state``, it gets the loss's parameters and buffers by name; if it has one ``fixed``, it gets the
sides and the state as they were before a gradient's small steps, for what the formula holds constant. There is a file
of references for each family of losses; this one has the first.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

Array = NDArray[np.float64]


def probabilities(logits: Array, tau: float) -> list[float]:
    top = max(logits)
    weights = [math.exp((float(z) - top) / tau) for z in logits]
    return [weight / sum(weights) for weight in weights]


def pixels(x: Array) -> Array:
    """(N, C) or (N, C, H, W) as rows of C numbers, the positions of a sample one after the other."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def kl_divergence(student: Array, teacher: Array, *, tau: float = 1.0, reduction: str = "batchmean") -> Array:
    rows = [
        rel_entr(probabilities(t, tau), probabilities(s, tau)) * tau**2
        for s, t in zip(pixels(student), pixels(teacher), strict=True)
    ]
    total = sum(sum(row) for row in rows)
    if reduction == "none":
        shape = (student.shape[0], *student.shape[2:], student.shape[1])
        return np.moveaxis(np.array(rows).reshape(shape), -1, 1)
    return np.array(total / {"batchmean": len(student), "mean": student.size, "sum": 1}[reduction])


def soft_label(
    student: Array, teacher: Array, *, teacher_temperature: float = 1.0, student_temperature: float = 1.0
) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = probabilities(t, teacher_temperature), probabilities(s, student_temperature)
        total -= sum(p[c] * math.log(q[c]) for c in range(len(p)))
    return total / len(student)


def hard_label(student: Array, teacher: Array) -> float:
    picked = [probabilities(s, 1.0)[list(t).index(max(t))] for s, t in zip(student, teacher, strict=True)]
    return sum(-math.log(p) for p in picked) / len(picked)


def l2(student: Array, teacher: Array, *, normalize: bool = False, reduction: str = "mean") -> Array:
    if normalize:
        student, teacher = (
            np.array([sample / math.sqrt(sum(v * v for v in sample.flat)) for sample in side])
            for side in (student, teacher)
        )
    errors = np.array([(a - b) ** 2 for a, b in zip(student.flat, teacher.flat, strict=True)])
    if reduction == "none":
        return errors.reshape(student.shape)
    return np.array(sum(errors) / {"batchmean": len(student), "mean": student.size, "sum": 1}[reduction])


def l1(student: Array, teacher: Array, *, reduction: str = "mean") -> float:
    total = sum(abs(a - b) for a, b in zip(student.flat, teacher.flat, strict=True))
    return total / {"mean": student.size, "sum": 1}[reduction]


def fsp(student: tuple[Array, Array], teacher: tuple[Array, Array]) -> float:
    total, count = 0.0, 0
    for n in range(len(student[0])):
        flow_s, flow_t = _flow(student[0][n], student[1][n]), _flow(teacher[0][n], teacher[1][n])
        for i, j in np.ndindex(flow_s.shape):
            total, count = total + (flow_s[i, j] - flow_t[i, j]) ** 2, count + 1
    return total / count


def _flow(a: Array, b: Array) -> Array:
    height, width = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
    a, b = pooled(a, height, width), pooled(b, height, width)
    matrix = np.zeros((len(a), len(b)))
    for i, j, y, x in np.ndindex(len(a), len(b), height, width):
        matrix[i, j] += a[i, y, x] * b[j, y, x] / (height * width)
    return matrix


def pooled(x: Array, height: int, width: int) -> Array:
    """Each pixel of the smaller map is the mean of the pixels of the larger that it overlaps."""
    out = np.zeros((len(x), height, width))
    for c, i, j in np.ndindex(out.shape):
        rows = slice(i * x.shape[1] // height, -(-(i + 1) * x.shape[1] // height))
        columns = slice(j * x.shape[2] // width, -(-(j + 1) * x.shape[2] // width))
        out[c, i, j] = np.mean(x[c, rows, columns])
    return out


def attention_transfer(student: Array, teacher: Array, *, p: float = 2) -> float:
    total, count = 0.0, 0
    for s, t in zip(student, teacher, strict=True):
        attention_s, attention_t = _attention(s, p), _attention(t, p)
        total += sum((a - b) ** 2 for a, b in zip(attention_s, attention_t, strict=True))
        count += len(attention_s)
    return total / count


def _attention(x: Array, p: float) -> list[float]:
    channels, height, width = x.shape
    energy = [sum(abs(x[c, i, j]) ** p for c in range(channels)) / channels for i, j in np.ndindex(height, width)]
    norm = math.sqrt(sum(value * value for value in energy))
    return [value / norm for value in energy]
