"""Which shapes a loss accepts: plain comparisons of Python integers, before anything is computed or broadcast."""

from __future__ import annotations

from collections.abc import Container, Sequence, Sized
from typing import NamedTuple

from torch import Tensor

from stillroom.errors import StillroomError


class Shapes(NamedTuple):
    """What a loss accepts.

    Args:
        text: the accepted shapes in words, as messages show them.
        ranks: the accepted numbers of axes.
        equal: the axes in which student and teacher must agree; None means all of them.
    """

    text: str
    ranks: Container[int]
    equal: tuple[int, ...] | None = None


LOGITS = Shapes("logits (N, C)", (2,))
LOGITS_OR_MAPS = Shapes("logits (N, C) or (N, C, H, W)", (2, 4))
MAPS = Shapes("maps (N, C, H, W)", (4,))
VECTORS = Shapes("vectors (N, D)", (2,))
FEATURES = Shapes("features (N, D), (N, C, H, W) or any other (N, ...)", range(2, 9))


def check_shapes(student: object, teacher: object, accepted: Shapes) -> None:
    """Refuses what would be broadcast, misread or averaged over nothing.

    Raises:
        StillroomError: for anything but two tensors of accepted shapes that agree where they must; shows both shapes.
    """
    if not (isinstance(student, Tensor) and isinstance(teacher, Tensor)):
        raise StillroomError("both sides must be tensors", expected=accepted.text, got=_both(student, teacher))
    if student.shape == teacher.shape and student.ndim in accepted.ranks and student.numel():
        return  # every step comes here
    if student.ndim not in accepted.ranks or teacher.ndim not in accepted.ranks:
        raise StillroomError("wrong number of axes", expected=accepted.text, got=_both(student, teacher))
    if student.shape != teacher.shape and (accepted.equal is None or _differ(student, teacher, accepted.equal)):
        raise StillroomError(
            "student and teacher differ in shape",
            expected=_expectation(accepted.equal),
            got=_both(student, teacher),
            fix=_advice(student, teacher),
        )
    if student.numel() == 0 or teacher.numel() == 0:
        raise StillroomError("an empty input has no loss", expected=accepted.text, got=_both(student, teacher))


def check_channels(student: Tensor, teacher: Tensor, channels: tuple[int, int]) -> None:
    """Refuses maps of other channels than a loss that learns was built for, the student's and the teacher's.

    Raises:
        StillroomError: it shows both shapes.
    """
    if (student.shape[1], teacher.shape[1]) != channels:
        expected = f"student C = {channels[0]} and teacher C = {channels[1]}"
        raise StillroomError("the loss is for other channels", expected=expected, got=_both(student, teacher))


def check_shape(x: object, accepted: Shapes) -> None:
    """As :func:`check_shapes`, for a loss of one operand.

    Raises:
        StillroomError: for anything but one tensor of an accepted shape.
    """
    if not isinstance(x, Tensor):
        raise StillroomError("the input must be a tensor", expected=accepted.text, got=_shown(x))
    if x.ndim not in accepted.ranks:
        raise StillroomError("wrong number of axes", expected=accepted.text, got=_shown(x))
    if x.numel() == 0:
        raise StillroomError("an empty input has no loss", expected=accepted.text, got=_shown(x))


def check_classes(logits: Tensor) -> None:
    """Refuses logits of one class, where a loss compares classes with each other.

    Raises:
        StillroomError: it shows the shape.
    """
    if logits.shape[1] < 2:
        raise StillroomError("one class has no other to compare with", expected="C >= 2", got=_shown(logits))


def check_count(student: Sequence[Tensor], teacher: Sequence[Tensor], count: int, what: str) -> None:
    """Refuses anything but ``count`` values on each side, in tuples or lists.

    Raises:
        StillroomError: it shows what came on both sides.
    """
    if not (_is_group(student, count) and _is_group(teacher, count)):
        raise StillroomError(f"both sides must be {what}", expected=f"a tuple of {count}", got=_both(student, teacher))


def check_levels(
    student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor], accepted: Shapes, least: int
) -> None:
    """Refuses anything but ``least`` or more tensors on each side, as many on one as on the other, of one batch.

    Raises:
        StillroomError: it shows what came on both sides, or both shapes of the first level that is not accepted.
    """
    counts = {len(side) if isinstance(side, tuple | list) else -1 for side in (student, teacher)}
    if len(counts) > 1 or min(counts) < least:
        expected = f"two tuples of one length, at least {least}"
        raise StillroomError("both sides must have the same levels", expected=expected, got=_both(student, teacher))
    for level_s, level_t in zip(student, teacher, strict=True):
        check_shapes(level_s, level_t, accepted)
    if any(level.shape[0] != student[0].shape[0] for level in student):
        got = ", ".join(str(tuple(level.shape)) for level in student)
        raise StillroomError("the levels differ in their batch", expected="the same N", got=got)


def _is_group(value: Sequence[Tensor], count: int) -> bool:
    return isinstance(value, tuple | list) and len(value) == count


def _differ(student: Tensor, teacher: Tensor, axes: tuple[int, ...]) -> bool:
    return any(student.shape[axis] != teacher.shape[axis] for axis in axes)


def _expectation(axes: tuple[int, ...] | None) -> str:
    return "equal shapes" if axes is None else f"the same {', '.join('NCHW'[axis] for axis in axes)}"


def _advice(student: Tensor, teacher: Tensor) -> str:
    if student.shape[0] != teacher.shape[0]:
        return "Both sides must come from the same batch."
    return "A connector can adapt the student to the teacher."


def _both(student: object, teacher: object) -> str:
    return f"student {_shown(student)} and teacher {_shown(teacher)}"


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, Sized) else kind
