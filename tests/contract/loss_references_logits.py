"""References of the losses of logits beyond the first three, and of a generator's losses; see loss_references.py."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from loss_references import Array, kl_divergence, probabilities, soft_label

Row = Sequence[float]


def divergence(p: Row, q: Row) -> float:
    return sum(p[c] * (math.log(p[c]) - math.log(q[c])) for c in range(len(p)))


def dkd(
    student: Array, teacher: Array, *, labels: Array, tau: float = 4.0, alpha: float = 1.0, beta: float = 8.0
) -> float:
    total = 0.0
    for s, t, y in zip(student, teacher, labels, strict=True):
        p, q = probabilities(t, tau), probabilities(s, tau)
        others_p, others_q = ([row[c] / (1 - row[y]) for c in range(len(row)) if c != y] for row in (p, q))
        total += alpha * divergence([p[y], 1 - p[y]], [q[y], 1 - q[y]]) + beta * divergence(others_p, others_q)
    return tau**2 * total / len(student)


def dist(student: Array, teacher: Array, *, tau: float = 1.0, inter: float = 1.0, intra: float = 1.0) -> float:
    rows_s, rows_t = ([probabilities(z, tau) for z in side] for side in (student, teacher))
    columns_s, columns_t = (list(zip(*rows, strict=True)) for rows in (rows_s, rows_t))
    between = 1 - statistics.fmean(_correlation(a, b) for a, b in zip(rows_s, rows_t, strict=True))
    within = 1 - statistics.fmean(_correlation(a, b) for a, b in zip(columns_s, columns_t, strict=True))
    return tau**2 * (inter * between + intra * within)


def _correlation(a: Row, b: Row) -> float:
    a, b = ([value - statistics.fmean(side) for value in side] for side in (a, b))
    norms = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / (norms + 1e-8)


def standardized_kl(student: Array, teacher: Array, *, tau: float = 2.0) -> Array:
    return kl_divergence(_standardized(student), _standardized(teacher), tau=tau)


def _standardized(logits: Array) -> Array:
    rows = [[float(z) for z in row] for row in logits]
    return np.array([[(z - statistics.fmean(row)) / (statistics.stdev(row) + 1e-7) for z in row] for row in rows])


def wsld(student: Array, teacher: Array, *, labels: Array, fixed: SimpleNamespace, tau: float = 2.0) -> float:
    total = 0.0
    for n, y in enumerate(labels):
        error_s, error_t = (-math.log(probabilities(side[n], 1.0)[y]) for side in (fixed.student, fixed.teacher))
        weight = 1 - math.exp(-max(error_s / (error_t + 1e-7), 0))
        total += weight * soft_label(student[n : n + 1] / tau, teacher[n : n + 1] / tau)
    return tau**2 * total / len(student)


def spherical_kd(student: Array, teacher: Array, *, multiplier: float | None = None) -> float:
    scales = [statistics.stdev(map(float, t)) if multiplier is None else multiplier for t in teacher]
    on_spheres = (
        np.array([m * _on_sphere(z) for m, z in zip(scales, side, strict=True)]) for side in (student, teacher)
    )
    return soft_label(*on_spheres)


def _on_sphere(logits: Array) -> Array:
    row = [float(z) for z in logits]
    return np.array([(z - statistics.fmean(row)) / math.sqrt(statistics.pvariance(row) + 1e-7) for z in row])


def multi_level_kd(student: Array, teacher: Array, *, taus: Row = (2.0, 3.0, 4.0, 5.0, 6.0)) -> float:
    samples, classes = student.shape
    total = 0.0
    for tau in taus:
        p, q = ([probabilities(z, tau) for z in side] for side in (teacher, student))
        total += tau**2 * sum(divergence(p[n], q[n]) for n in range(samples)) / samples
        for i, j in np.ndindex(classes, classes):
            total += sum(p[n][i] * p[n][j] - q[n][i] * q[n][j] for n in range(samples)) ** 2 / classes
        for i, j in np.ndindex(samples, samples):
            total += sum(p[i][c] * p[j][c] - q[i][c] * q[j][c] for c in range(classes)) ** 2 / samples
    return total


def ofakd(student: Array, teacher: Array, *, labels: Array, eps: float = 1.0) -> float:
    total = 0.0
    for s, t, y in zip(student, teacher, labels, strict=True):
        p, q = probabilities(t, 1.0), probabilities(s, 1.0)
        total -= sum(((p[c] + (c == y)) ** eps - (c == y)) * math.log(q[c]) for c in range(len(p)))
    return total / len(student)


def curriculum_temperature(
    student: Array,
    teacher: Array,
    *,
    state: dict[str, Array],
    fixed: SimpleNamespace,
    start: float = 1.0,
    end: float = 20.0,
    warmup_steps: int = 0,
) -> Array:
    """Where theta takes a small step, the temperature follows one in the other direction."""
    here = float(fixed.state["theta"])
    strength = float(state["strength"])
    if warmup_steps:
        strength = (1 - math.cos(math.pi * min(float(state["step"]) / warmup_steps, 1))) / 2
    theta = here - strength * (float(state["theta"]) - here)
    return kl_divergence(student, teacher, tau=start + end / (1 + math.exp(-theta)))


def virtual_teacher(student: Array, *, labels: Array, correct: float = 0.9, tau: float = 20.0) -> Array:
    rest = (1 - correct) / (student.shape[1] - 1)
    teacher = np.array([[correct if c == y else rest for c in range(student.shape[1])] for y in labels])
    return kl_divergence(student, teacher, tau=tau)


def one_hot_like(logits: Array) -> float:
    return sum(-math.log(max(probabilities(z, 1.0))) for z in logits) / len(logits)


def information_entropy(logits: Array) -> float:
    means = [statistics.fmean(column) for column in zip(*(probabilities(z, 1.0) for z in logits), strict=True)]
    return sum(p * math.log10(p) for p in means)


def activation_norm(features: Array) -> float:
    return -sum(abs(value) for value in features.flat) / features.size
