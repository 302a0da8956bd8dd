"""What can be found wrong with a training before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.algorithms import Algorithm, Task, as_task, split
from stillroom.data import DataModule
from stillroom.diagnosis import certain
from stillroom.distillers.scope import untouched
from stillroom.distillers.teacher import call
from stillroom.errors import StillroomError
from stillroom.recorders import describe, expect_model
from stillroom.runs.job import Job
from stillroom.runs.readable import first_batch

DRY_SAMPLES = 8


def check(job: Job) -> None:
    """Run the student and the task loss on a few samples, and make the optimizer, all of it on the side.

    Raises:
        StillroomError: the student does not take the data's inputs or has other classes, the task loss lacks labels or
            fails, or the optimizer or the scheduler cannot be made; names the recipe's key.
    """
    where = "teacher.model" if job.role == "teacher" else "student"
    expect_model(job.student, where)
    inputs, context = dry_batch(job)
    with untouched(job.student):
        output = answer(job.student.cpu().eval(), inputs, where)
        if job.task_weight != 0:
            _check_task(job, inputs, context, output, where)
    optimizer = job.optimizer(job.student.parameters())
    if job.scheduler is not None:
        job.scheduler(optimizer)


def check_companions(job: Job, algorithm: Algorithm) -> None:
    """Run each model that is trained beside the student on a few samples.

    Raises:
        StillroomError: it does not take the data's inputs, or has other classes; names the model.
    """
    inputs, context = dry_batch(job)
    for name, model in algorithm.companions.items():
        with untouched(model):
            output = answer(model.eval(), inputs, f"algorithm.{name}")
        if algorithm.task.labelled(inputs, context):
            fix = "Set its number of classes."
            same_classes(algorithm.task, model, output, job.data, f"algorithm.{name}", fix=fix)


def check_terms(job: Job, algorithm: Algorithm) -> None:
    """Look, in a few training samples, for what a training would not complain of, unless ``trainer.check`` is false.

    Raises:
        StillroomError: nothing that the student learns has a part in a term, or a teacher's buffers move; names it.
    """
    losses = [term.loss for term in algorithm.distiller.terms.values()]
    if not job.settings.check or not losses:
        return
    # As few as all losses take, by what they say: this takes a forward pass with all that a backward pass needs.
    least = [getattr(getattr(loss, "facts", None), "smallest_batch", DRY_SAMPLES) for loss in losses]
    for finding in certain(algorithm.distiller, first_batch(job.data, max(2, *least))):
        fix = f"{finding.fix} trainer.check=false skips this.".lstrip()
        raise replace(finding, fix=fix).refusal()


def dry_batch(job: Job) -> tuple[Any, dict[str, Any]]:
    """The inputs and the context of the job's first samples."""
    job.data.prepare_data()
    return split(job.data.sample(DRY_SAMPLES))


def answer(model: nn.Module, inputs: Any, where: str) -> Any:
    """What the model says of the inputs.

    Raises:
        StillroomError: it does not take them.
    """
    try:
        return call(model, (inputs,))
    except StillroomError as error:
        raise error.at(where) from None
    except Exception as error:  # a model can fail in as many ways as there are models
        raise StillroomError(
            f"{type(model).__name__} does not take the data's inputs",
            where=where,
            expected=f"a model of {tuple(inputs.shape) if isinstance(inputs, Tensor) else describe(inputs)}",
            got=_said(error),
        ) from error


def same_classes(task: Task, model: nn.Module, output: Any, data: DataModule, where: str, *, fix: str) -> None:
    """As of :meth:`~stillroom.algorithms.Task.expect_classes`, with the recipe's key in front of the message."""
    try:
        task.expect_classes(model, output, data, fix=fix)
    except StillroomError as error:
        raise error.at(where) from None


def _check_task(job: Job, inputs: Any, context: Mapping[str, Any], output: Any, where: str) -> None:
    task = as_task(job.task)
    if task.labelled(inputs, context):
        same_classes(task, job.student, output, job.data, where, fix="Set its number of classes.")
        task.meter()  # what it needs may not be installed
    try:
        loss: object = task(output, context)
    except StillroomError:
        raise
    except Exception as error:
        raise StillroomError("the task loss failed", where="task", got=_said(error)) from error
    if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
        raise StillroomError("the task loss must return one number", where="task", got=repr(loss))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
