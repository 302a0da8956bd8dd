"""A teacher's program and a student's as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stillroom.distillers.distiller import nothing_shared
from stillroom.distillers.teacher import Teacher
from stillroom.errors import StillroomError, did_you_mean
from stillroom.programs.code import Constants, copied, detached
from stillroom.programs.operation import Operation, Ref
from stillroom.programs.plan import Plan
from stillroom.programs.program import Program


def merge(teacher: Program, student: Program, *, inputs: Mapping[str, str], prefix: str = "teacher_") -> Program:
    """One program with a student and a teacher that see the same inputs.

    The teacher's names get the prefix, the student's stay. The teacher is frozen for good: evaluation, no gradients,
    not in ``parameters()`` or ``state_dict()``; its model is the caller's own object, whose flags change. Merge again
    for a second teacher.

    Args:
        teacher: of one model.
        student: of one model, or merged already.
        inputs: for each input of the teacher the input of the student that it takes.
        prefix: of the teacher's names.

    Raises:
        StillroomError: an input is unknown, left out or of another shape; the prefix or a name is taken; the teacher is
            merged already, or shares parameters with the student.
    """
    nothing_shared(student.model, teacher.model, prefix or "teacher")
    if teacher.teachers:
        raise StillroomError(
            "the teacher has teachers of its own", where=prefix, got=", ".join(map(repr, teacher.teachers))
        )
    _free(prefix, student)
    _joined(inputs, teacher.plan.inputs, student.plan.inputs)
    return merged(teacher, student, Teacher(teacher.model), inputs=inputs, prefix=prefix)


def merged(teacher: Program, student: Program, holder: Teacher, *, inputs: Mapping[str, str], prefix: str) -> Program:
    """As :func:`merge`, with the holder of the teacher.

    Raises:
        StillroomError: inputs differ in shape, or a name is taken.
    """
    own, count = student.plan, len([*student.constants.buffers()])
    part = teacher.plan.under(prefix, count)
    if taken := [name for name in (*part.by_name, *part.calls) if name in own.by_name or name in own.calls]:
        raise StillroomError(
            f"both programs have {taken[0]!r}", where=prefix, fix="Choose another prefix: merge(..., prefix=...)."
        )
    overwritten = {name for operation in (*part.operations, *own.operations) for name in operation.changes}
    entries = {prefix + name: _entry(part, own, prefix + name, source, overwritten) for name, source in inputs.items()}
    # The teacher first, as under hooks: it takes the inputs before the student can overwrite them.
    operations = (
        *(operation for operation in own.operations if operation.kind == "input"),
        *(entries.get(operation.name, operation) for operation in part.operations),
        *(operation for operation in own.operations if operation.kind != "input"),
    )
    return Program(
        Plan(operations, {**own.calls, **part.calls}, {**own.outputs, **part.outputs}),
        student.model,
        Constants([*student.constants.buffers(), *teacher.constants.buffers()]),
        teachers={**dict(student.teachers.items()), prefix: holder},
        losses=dict(student.losses.items()),
    )


def _entry(part: Plan, own: Plan, name: str, source: str, overwritten: set[str]) -> Operation:
    """What the teacher takes of an input: never its gradient, and a copy of what either overwrites."""
    ours, theirs = own.by_name[source].tensor, part.by_name[name].tensor
    assert ours is not None and theirs is not None  # inputs are tensors
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        raise StillroomError(
            f"the teacher's input {name!r} differs from the student's {source!r}",
            expected=f"{theirs.shape} of {theirs.dtype}",
            got=f"{ours.shape} of {ours.dtype}",
        )
    take = detached if overwritten.isdisjoint((name, source)) else copied
    return replace(part.by_name[name], kind="function", target=take, args=(Ref(source),))


def _free(prefix: str, student: Program) -> None:
    if not prefix or "." in prefix or prefix in student.teachers or hasattr(student.teachers, prefix):
        problem = "this prefix is another teacher's" if prefix in student.teachers else "this cannot be a prefix"
        raise StillroomError(problem, where="prefix", got=repr(prefix), fix="Choose another.")


def _joined(inputs: Mapping[str, str], theirs: list[str], ours: list[str]) -> None:
    for name, source in inputs.items():
        for one, known, whose in ((name, theirs, "teacher"), (source, ours, "student")):
            if one not in known:
                raise StillroomError(f"the {whose} has no input {one!r}", where="inputs", fix=did_you_mean(one, known))
    if missing := [name for name in theirs if name not in inputs]:
        raise StillroomError(
            f"nothing is given for the teacher's input {missing[0]!r}",
            where="inputs",
            expected=f"{{{missing[0]!r}: one of {', '.join(map(repr, ours))}}}",
            got=dict(inputs),
        )
