"""VOC's average precision, detection by detection."""

from __future__ import annotations

Box = list[float]


def overlap(a: Box, b: Box, extra: float) -> float:
    if a[0] >= b[2] or a[2] <= b[0] or a[1] >= b[3] or a[3] <= b[1]:
        return 0.0
    shared = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])], extra)
    return shared / (area(a, extra) + area(b, extra) - shared)


def area(box: Box, extra: float) -> float:
    return (box[2] - box[0] + extra) * (box[3] - box[1] + extra)


def judged(
    found: list[tuple[Box, float, int]], truth: list[tuple[Box, int, bool]], *, threshold: float, extra: float
) -> list[tuple[float, int, bool]]:
    """(score, label, right) of what counts in one image."""
    taken: set[int] = set()
    said = []
    for box, score, label in sorted(found, key=lambda each: -each[1]):
        most, which = -1.0, -1
        for number, (other, kind, _) in enumerate(truth):
            if kind == label and (value := overlap(box, other, extra)) > most:
                most, which = value, number
        if most <= threshold:
            said.append((score, label, False))
        elif not truth[which][2]:
            said.append((score, label, which not in taken))
            taken.add(which)
    return said


def average_precision(
    images: list[tuple[list[tuple[Box, float, int]], list[tuple[Box, int, bool]]]],
    *,
    interpolation: str,
    threshold: float = 0.5,
    inclusive: bool = True,
) -> dict[int, float]:
    """By class; (box, score, label) of what is found and (box, label, difficult) of what is there, for each image."""
    said = [each for image in images for each in judged(*image, threshold=threshold, extra=float(inclusive))]
    values = {}
    for label in sorted({kind for _, truth in images for _, kind, difficult in truth if not difficult}):
        count = sum(kind == label and not difficult for _, truth in images for _, kind, difficult in truth)
        right, curve = 0, []
        mine = sorted((each for each in said if each[1] == label), key=lambda each: -each[0])
        for number, (_, _, fits) in enumerate(mine, 1):
            right += fits
            curve.append((right / count, right / number))
        if interpolation == "11point":
            best = [max((p for r, p in curve if r >= step / 10), default=0.0) for step in range(11)]
            values[label] = sum(best) / 11
        else:
            before, total = 0.0, 0.0
            for recall, precision in curve:
                total += (recall - before) * precision
                before = recall
            values[label] = total
    return values
