"""One batch through everything of a distiller: how large and how strong each term is, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stillroom.diagnosis.findings import Finding, worst_first
from stillroom.diagnosis.frozen import Stillness, awake, holders, put_back, unlike_training
from stillroom.diagnosis.gradients import Pull, pull
from stillroom.diagnosis.judging import against_the_task, constant, dead, out_of_scale, saturated
from stillroom.diagnosis.watching import batch_size, shape, watched
from stillroom.distillers import Distilled, Distiller, Term
from stillroom.errors import StillroomError

TASK = "task"
OUTPUT = "(output)"

TaskLoss = Callable[[Any, Mapping[str, Any]], Tensor]
"""Called as ``task(output, context)``, as a task of an algorithm is."""


@dataclass(frozen=True, kw_only=True)
class TermRow:
    """A term in one batch; what is not known is empty or None.

    Attributes:
        name: of the term; ``"task"`` for the task loss.
        student, teacher: its sites.
        student_shape, teacher_shape: of the values there.
        connector: of the student's side; one that was inferred says so.
        loss: its value.
        weight: at this time; 0: it is not computed.
        share: of the sum of all weighted losses' sizes, 0 to 1.
        gradient: the norm of the weighted loss's gradient for the student's parameters.
        cosine: of that gradient and the task's.
    """

    name: str
    student: str = ""
    teacher: str = ""
    student_shape: str = ""
    teacher_shape: str = ""
    connector: str = ""
    loss: float | None = None
    weight: float = 0.0
    share: float = 0.0
    gradient: float | None = None
    cosine: float | None = None


@dataclass(frozen=True)
class Examination:
    """What one batch shows.

    Attributes:
        terms: the terms, the task last.
        findings: the worst first.
    """

    terms: tuple[TermRow, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Step:
    """One forward pass and what was seen in it."""

    distilled: Distilled
    taught: Mapping[str, Any]
    values: Mapping[str, Any]
    task: Tensor | None
    count: int


def examine(
    distiller: Distiller,
    batch: Mapping[str, Any],
    *,
    task: TaskLoss | None = None,
    task_weight: float = 1.0,
    untrained: Collection[str] = (),
) -> Examination:
    """Run a distiller on a batch, forwards and backwards, and judge what is seen.

    Each term is measured in the mode that the student is in and by its weight at the distiller's present epoch and
    step. Parameters, their ``grad``, buffers, modes and torch's random state are as before afterwards.

    Args:
        distiller: prepared.
        batch: ``inputs``, and the keywords of the distiller's call, such as ``labels``.
        task: called as ``task(output, batch without inputs)``: what the student learns besides; None: nothing.
        task_weight: of it.
        untrained: names of teachers that have learned nothing yet: what follows from what they say is not judged.

    Returns:
        The terms with their numbers, and the findings; where the step cannot run, that is a finding and there are no
        terms.
    """
    findings = awake(distiller)
    with put_back(distiller), torch.enable_grad():
        still = Stillness(distiller)
        try:
            step = _step(distiller, batch, task if task_weight else None)
            for name, teacher in holders(distiller):
                if name not in untrained:
                    findings += unlike_training(name, teacher, batch["inputs"])
        except StillroomError as error:
            return Examination((), worst_first([*findings, *still.broken(), Finding.of(error)]))
        findings += still.broken()
        rows, more = _judged(distiller, step, task_weight, untrained)
    return Examination(shared(rows), worst_first([*findings, *more]))


def shared(rows: Collection[TermRow]) -> tuple[TermRow, ...]:
    """The rows with each one's share of them all."""
    total = sum(abs(row.weight * (row.loss or 0.0)) for row in rows)
    return tuple(replace(row, share=abs(row.weight * (row.loss or 0.0)) / total if total else 0.0) for row in rows)


def _step(distiller: Distiller, batch: Mapping[str, Any], task: TaskLoss | None) -> _Step:
    inputs, context = batch["inputs"], {name: value for name, value in batch.items() if name != "inputs"}
    taught = distiller.teach(inputs)
    with watched(distiller.student, [site for term in distiller.terms.values() for site in term.student]) as values:
        distilled = distiller(inputs, taught=taught, **context)
    distilled.check()
    loss = None if task is None else task(distilled.output, context)
    return _Step(distilled, taught, values, loss, batch_size(inputs))


def _judged(
    distiller: Distiller, step: _Step, task_weight: float, untrained: Collection[str]
) -> tuple[list[TermRow], list[Finding]]:
    parameters = [parameter for parameter in distiller.student.parameters() if parameter.requires_grad]
    tasks = None if step.task is None else pull(step.task * task_weight, parameters)
    rows: list[TermRow] = []
    findings: list[Finding] = []
    for name, term in distiller.terms.items():
        sites = distiller.teacher_sites(name)
        row = _row(distiller, name, term, step, sites)
        judged = not any(site.partition("/")[0] in untrained for site in sites)
        if (loss := row.loss) is not None:
            own = pull(step.distilled.losses[name] * row.weight, parameters)
            row = replace(row, gradient=own.norm, cosine=None if tasks is None else own.cosine(tasks))
            findings += dead(f"terms.{name}", row.weight, loss, own)
            findings += _of_values(name, term, step, sites) if judged else _of_student(name, term, step)
            findings += _beside_the_task(row, own, tasks) if judged else []
        rows.append(row)
    if step.task is not None and tasks is not None:
        rows.append(TermRow(name=TASK, loss=step.task.item(), weight=task_weight, gradient=tasks.norm))
        findings += dead(TASK, task_weight, step.task.item(), tasks)
    return rows, findings


def _row(distiller: Distiller, name: str, term: Term, step: _Step, sites: list[str]) -> TermRow:
    keys = [str(site) for site in term.student]
    losses, weights = step.distilled.losses, step.distilled.weights
    return TermRow(
        name=name,
        student=_listed([key or OUTPUT for key in keys]),
        teacher=_listed([_as_given(site, distiller) for site in sites]),
        student_shape=_listed([shape(step.values[key]) for key in keys if key in step.values]),
        teacher_shape=_listed([shape(step.taught[site]) for site in sites if site in step.taught]),
        connector=_connector(distiller, name, term),
        loss=losses[name].item() if name in losses else None,
        weight=weights.get(name, 0.0),
    )


def _of_student(name: str, term: Term, step: _Step) -> list[Finding]:
    where = f"terms.{name}.student"
    return [
        finding
        for key in map(str, term.student)
        for finding in constant(where, key or OUTPUT, step.values.get(key), step.count)
    ]


def _of_values(name: str, term: Term, step: _Step, sites: list[str]) -> list[Finding]:
    findings = _of_student(name, term, step)
    for site in sites:
        findings += constant(f"terms.{name}.teacher", site, step.taught[site], step.count)
        findings += saturated(f"terms.{name}", term, step.taught[site])
    return findings


def _beside_the_task(row: TermRow, own: Pull, tasks: Pull | None) -> list[Finding]:
    if tasks is None:
        return []
    where = f"terms.{row.name}"
    return [*out_of_scale(where, row.weight, own.norm, tasks.norm), *against_the_task(where, row.cosine)]


def _connector(distiller: Distiller, name: str, term: Term) -> str:
    if name not in distiller.connectors:
        return ""
    said = " ".join(repr(distiller.connectors[name]).split())
    return f"auto: {said}" if term.connector == "auto" else said


def _as_given(site: str, distiller: Distiller) -> str:
    """Without the teacher's name where there is but one."""
    name, _, path = site.partition("/")
    return (path or OUTPUT) if len(distiller.teachers) == 1 else f"{name}/{path or OUTPUT}"


def _listed(words: list[str]) -> str:
    return ", ".join(words)
