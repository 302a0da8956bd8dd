"""How the student answers beside its teacher, on samples that neither has learned from."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torchvision.utils import save_image

from stillroom.algorithms import Algorithm, Classification, logits_of, split
from stillroom.data import DataModule
from stillroom.diagnosis import similarity
from stillroom.distillers import call
from stillroom.errors import StillroomError
from stillroom.reports import Bin, Calibration, Disagreement, Judgement, Likeness, Split, Swap

SAMPLES, COMPARED = 2000, 128
BINS, PICTURES, PICTURE_SIDE, MOST_SWAPS, LARGEST_CONFUSION = 15, 16, 96, 10, 20


@torch.no_grad()
def judge(algorithm: Algorithm, data: DataModule, device: torch.device) -> Judgement | None:
    """The student beside the first of its teachers, on up to 2,000 samples of the test set, else of the validation set.

    Returns:
        None where there is no teacher, no label, or no classifier on both sides.
    """
    if not isinstance(algorithm.task, Classification) or not len(algorithm.distiller.teachers):
        return None
    name, teacher = next(iter(algorithm.distiller.teachers.items()))
    student, part = algorithm.student.eval(), data.judged_on
    said = _answers(student, teacher, data.spread(SAMPLES, split=part), device)
    if said is None:
        return None
    logits, others, labels, pictures = said
    answer, other = logits.argmax(1), others.argmax(1)
    right, others_right = answer == labels, other == labels
    count = len(labels)
    return Judgement(
        teacher=name,
        split=part,
        samples=count,
        classes=_classes(data, logits.shape[1]),
        student_accuracy=_share(right),
        teacher_accuracy=_share(others_right),
        agreement=_share(answer == other),
        student_alone=_share(right & ~others_right),
        teacher_alone=_share(others_right & ~right),
        confusion=_confusion(other, answer, logits.shape[1]),
        swaps=_swaps(other, answer),
        student_calibration=calibration(logits, labels),
        teacher_calibration=calibration(others, labels),
        disagreements=[
            Disagreement(label=int(labels[at]), teacher=int(other[at]), student=int(answer[at]), picture=pictures[at])
            for at in pictures
        ],
        likeness=_likeness(student, teacher, data, part, device),
    )


def calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """Confidence against accuracy.

    Shape:
        logits (N, C), labels (N,).
    """
    confidence, answer = logits.double().softmax(1).max(1)
    right = (answer == labels).double()
    place = (confidence * BINS).ceil().long().clamp(1, BINS)  # bins are open below and closed above
    bins = [
        Bin(confidence=float(confidence[inside].mean()), accuracy=float(right[inside].mean()), count=int(inside.sum()))
        for number in range(1, BINS + 1)
        if (inside := place == number).any()
    ]
    error = sum(each.count * abs(each.accuracy - each.confidence) for each in bins) / len(labels)
    return Calibration(error=error, bins=bins)


def _answers(
    student: nn.Module, teacher: nn.Module, batches: Iterable[Mapping[str, Any]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, dict[int, str | None]] | None:
    """Logits of both, labels, and pictures of the first samples on which they disagree, by their place."""
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    pictures: dict[int, str | None] = {}
    seen = 0
    for batch in batches:
        inputs, context = split(move_data_to_device(dict(batch), device))
        labels = context.get("labels")
        own, others = (_logits(model, inputs) for model in (student, teacher))
        if labels is None or own is None or others is None or own.shape != others.shape:
            return None
        differ = (own.argmax(1) != others.argmax(1)).nonzero().flatten().tolist()
        for place in differ[: PICTURES - len(pictures)]:
            pictures[seen + place] = picture(inputs, place)
        rows.append((own.float().cpu(), others.float().cpu(), labels.cpu()))
        seen += len(labels)
    if not rows:
        return None
    own, others, labels = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return own, others, labels, pictures


def _logits(model: nn.Module, inputs: Any) -> Tensor | None:
    try:
        found = logits_of(call(model, (inputs,)))
    except StillroomError:
        return None
    return found if found.dim() == 2 else None


def picture(inputs: Any, place: int) -> str | None:
    """One of a batch of images (N, C, H, W), C 1 or 3, as PNG in base64; None where it is none."""
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or inputs.shape[1] not in (1, 3):
        return None
    image = inputs[place : place + 1].float().cpu()
    side = max(image.shape[2:])
    if side > PICTURE_SIDE:
        image = nn.functional.interpolate(image, scale_factor=PICTURE_SIDE / side, mode="area")
    low, high = image.min(), image.max()
    file = io.BytesIO()
    save_image((image - low) / (high - low).clamp_min(1e-12), file, format="png")
    return b64encode(file.getvalue()).decode()


def _classes(data: DataModule, count: int) -> list[str]:
    known = data.sources.class_names or []
    return list(known) if len(known) == count else [str(number) for number in range(count)]


def _share(which: Tensor) -> float:
    return float(which.double().mean())


def _confusion(rows: Tensor, columns: Tensor, classes: int) -> list[list[int]] | None:
    if classes > LARGEST_CONFUSION:
        return None
    return torch.bincount(rows * classes + columns, minlength=classes**2).view(classes, classes).tolist()


def _swaps(teacher: Tensor, student: Tensor) -> list[Swap]:
    differ = teacher != student
    if not differ.any():
        return []
    pairs, counts = torch.stack([teacher[differ], student[differ]]).unique(dim=1, return_counts=True)
    most = counts.argsort(descending=True, stable=True)[:MOST_SWAPS].tolist()
    return [Swap(teacher=int(pairs[0, at]), student=int(pairs[1, at]), count=int(counts[at])) for at in most]


def _likeness(
    student: nn.Module, teacher: nn.Module, data: DataModule, part: Split, device: torch.device
) -> Likeness | None:
    batches = [move_data_to_device(batch["inputs"], device) for batch in data.spread(COMPARED, split=part)]
    try:
        found = similarity(student, teacher, batches)
    except StillroomError:
        return None  # stages that cannot be recognised, or too few samples: the rest of the judgement stands
    values = [[value if math.isfinite(value) else None for value in row] for row in found.matrix.tolist()]
    return Likeness(student=list(found.rows), teacher=list(found.columns), values=values, samples=found.samples)
