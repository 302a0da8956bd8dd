"""Which stage of the teacher a stage of the student is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stillroom.diagnosis.adapting import Adapter, adapter
from stillroom.diagnosis.stages import MOST, Anatomy, Stage

ACTIVATION = re.compile(r"(?i)relu|elu|silu|swish|mish|sigmoid|tanh|softplus|softmax")
"""Names of modules after which a value is an activation; ``elu`` is in GELU and CELU too."""


@dataclass(frozen=True)
class Pair:
    """A place of the student and one of the teacher that mean the same.

    Attributes:
        name: of the term.
        student, teacher: the places.
        reason: why these two.
        adapter: what stands between them.
        flags: what makes them look more alike than they are.
        cka: how similar they are on the batch, where that was asked for.
    """

    name: str
    student: Stage
    teacher: Stage
    reason: str
    adapter: Adapter
    flags: tuple[str, ...] = ()
    cka: float | None = None


def pair_stages(student: Anatomy, teacher: Anatomy) -> list[Pair]:
    """Stages of equal stride; where a model has but one resolution, stages at equal depth.

    At most four, those with the smallest maps.
    """
    if student.blocks or teacher.blocks:
        count = min(MOST, *(len(model.blocks or model.stages) for model in (student, teacher)))
        both = zip(student.chosen(count), teacher.chosen(count), strict=True)
        return [_pair(f"depth{n}", f"by depth, {n}/{count}", *stages) for n, stages in enumerate(both, 1)]
    of_teacher = {stage.layout.stride: stage for stage in teacher.stages}
    common = [stage for stage in student.stages if stage.layout.stride in of_teacher][-MOST:]
    return [_pair(f"stride{(s := stage.layout.stride)}", f"stride {s}", stage, of_teacher[s]) for stage in common]


def _pair(name: str, reason: str, student: Stage, teacher: Stage) -> Pair:
    return Pair(name, student, teacher, reason, adapter(student, teacher), _flags(student, teacher))


def _flags(student: Stage, teacher: Stage) -> tuple[str, ...]:
    if student.signed != teacher.signed:
        words = [f"{'signed' if stage.signed else 'non-negative'} ({stage.last})" for stage in (student, teacher)]
        return (f"signs differ: the student's values are {words[0]}, the teacher's {words[1]}",)
    after = [ACTIVATION.search(stage.last) is not None for stage in (student, teacher)]
    if student.signed and after[0] != after[1]:
        words = [f"{'after' if is_after else 'before'} an activation" for is_after in after]
        return (f"the student's values are {words[0]} ({student.last}), the teacher's {words[1]} ({teacher.last})",)
    return ()
