"""What each loss of relations, between samples, channels or layers, must be; see loss_references.py."""

from __future__ import annotations

import itertools
import math

import numpy as np
from loss_references import Array


def _unit(values: Array) -> Array:
    return values / math.sqrt(sum(v * v for v in values.flat))


def _rows(x: Array) -> list[Array]:
    return [sample.ravel() for sample in x]


def nst(student: Array, teacher: Array) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        channels_s, channels_t = ([_unit(channel.ravel()) for channel in side] for side in (s, t))
        total += _mean_kernel(channels_s, channels_s) + _mean_kernel(channels_t, channels_t)
        total -= 2 * _mean_kernel(channels_s, channels_t)
    return total / len(student)


def _mean_kernel(a: list[Array], b: list[Array]) -> float:
    return sum(float(np.dot(x, y)) ** 2 for x in a for y in b) / (len(a) * len(b))


def pkt(student: Array, teacher: Array, *, eps: float = 1e-7) -> float:
    total, count = 0.0, 0
    for q_s, q_t in zip(_neighbours(student, eps), _neighbours(teacher, eps), strict=True):
        for s, t in zip(q_s, q_t, strict=True):
            total, count = total + t * math.log((t + eps) / (s + eps)), count + 1
    return total / count


def _neighbours(x: Array, eps: float) -> list[list[float]]:
    rows = [row / (math.sqrt(sum(v * v for v in row)) + eps) for row in _rows(x)]
    affinities = [[(float(np.dot(a, b)) + 1) / 2 for b in rows] for a in rows]
    return [[value / sum(row) for value in row] for row in affinities]


def similarity_preserving(student: Array, teacher: Array) -> float:
    total = 0.0
    for row_s, row_t in zip(_similarities(_rows(student)), _similarities(_rows(teacher)), strict=True):
        total += sum((s - t) ** 2 for s, t in zip(row_s, row_t, strict=True))
    return total / len(student) ** 2


def _similarities(rows: list[Array]) -> list[Array]:
    return [_unit(np.array([sum(a * b) for b in rows])) for a in rows]


def ickd(student: Array, teacher: Array) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for row_s, row_t in zip(_similarities(_rows(s)), _similarities(_rows(t)), strict=True):
            total += sum((a - b) ** 2 for a, b in zip(row_s, row_t, strict=True))
    return total / student.shape[1] / len(student) / len(student)


def correlation_congruence(student: Array, teacher: Array) -> float:
    values = [
        sum(abs(student[n, d] - teacher[n, d]) * abs(student[n + 1, d] - teacher[n + 1, d]) for d in range(len(row)))
        for n, row in enumerate(student[:-1])
    ]
    return sum(values) / len(values)


def _smooth(error: float) -> float:
    return 0.5 * error * error if abs(error) < 1 else abs(error) - 0.5


def rkd_distance(student: Array, teacher: Array) -> float:
    d_s, d_t = _distances(_rows(student)), _distances(_rows(teacher))
    return sum(_smooth(d_s[pair] - d_t[pair]) for pair in d_s) / len(student) ** 2


def _distances(rows: list[Array]) -> dict[tuple[int, int], float]:
    places = itertools.product(range(len(rows)), repeat=2)
    lengths = {(i, j): math.sqrt(sum((rows[i] - rows[j]) ** 2)) for i, j in places}
    positive = [length for length in lengths.values() if length > 0]
    return {pair: length * len(positive) / sum(positive) for pair, length in lengths.items()}


def rkd_angle(student: Array, teacher: Array) -> float:
    rows_s, rows_t = _rows(student), _rows(teacher)
    triplets = itertools.product(range(len(student)), repeat=3)
    total = sum(_smooth(_cosine(rows_s, *triplet) - _cosine(rows_t, *triplet)) for triplet in triplets)
    return total / len(student) ** 3


def _cosine(rows: list[Array], corner: int, j: int, k: int) -> float:
    if corner in (j, k):
        return 0.0
    return float(np.dot(_unit(rows[j] - rows[corner]), _unit(rows[k] - rows[corner])))


def kdsvd(student: tuple[Array, ...], teacher: tuple[Array, ...], *, k: int = 1) -> float:
    total, k = 0.0, min(k, *(min(t.shape[1], t.shape[2] * t.shape[3]) for t in teacher))
    for n in range(len(student[0])):
        layers = [_partners(s[n], t[n], k) for s, t in zip(student, teacher, strict=True)]
        for (before_s, before_t), (now_s, now_t) in itertools.pairwise(layers):
            for v_s, w_s, v_t, w_t in zip(now_s, before_s, now_t, before_t, strict=True):
                for c, d in np.ndindex(len(v_s), len(w_s)):
                    r_s, r_t = (math.exp(-((v[c] - w[d]) ** 2) / 8) for v, w in ((v_s, w_s), (v_t, w_t)))
                    total += (r_s - r_t) ** 2
    return total / len(student[0])


def _partners(student: Array, teacher: Array, k: int) -> tuple[list[Array], list[Array]]:
    """k vectors of the student, and those of the teacher, each times its singular value."""
    of_student = np.linalg.svd(student.reshape(len(student), -1).T, full_matrices=False)[2][: k + 3]
    _, values, of_teacher = np.linalg.svd(teacher.reshape(len(teacher), -1).T, full_matrices=False)
    values, of_teacher = values[:k] / math.sqrt(sum(v * v for v in values[:k])), of_teacher[:k]
    found_s, found_t = [], []
    for value, vector in zip(values, of_teacher, strict=True):
        vector = vector if max(vector) > -min(vector) else -vector
        cosines = [float(np.dot(vector, other)) for other in of_student]
        best = max(range(len(cosines)), key=lambda place: abs(cosines[place]))
        found_s.append(value * of_student[best] * (1 if cosines[best] > 0 else -1))
        found_t.append(value * vector)
    return found_s, found_t
