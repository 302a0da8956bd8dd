"""What can be found wrong with a training before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.algorithms import logits_of, split, task_loss
from stillroom.data import DataModule
from stillroom.distillers.scope import untouched
from stillroom.distillers.teacher import call
from stillroom.errors import StillroomError
from stillroom.runs.job import Job

DRY_SAMPLES = 8


def check(job: Job) -> None:
    """Run the student and the task loss on a few samples, and make the optimizer, all of it on the side.

    Raises:
        StillroomError: the student does not take the data's inputs or has other classes, the task loss lacks labels or
            fails, or the optimizer or the scheduler cannot be made; names the recipe's key.
    """
    where = "teacher.model" if job.role == "teacher" else "student"
    if not isinstance(job.student, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - made by a recipe's path
        raise StillroomError("this is no model", where=where, expected="an nn.Module", got=type(job.student).__name__)
    inputs, context = dry_batch(job)
    with untouched(job.student):
        output = answer(job.student.cpu().eval(), inputs, where)
        if job.task_weight != 0:
            _check_task(job, output, context, where)
    optimizer = job.optimizer(job.student.parameters())
    if job.scheduler is not None:
        job.scheduler(optimizer)


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
            expected=f"a model of {tuple(inputs.shape)}",
            got=_said(error),
        ) from error


def same_classes(logits: Tensor, data: DataModule, where: str, *, fix: str) -> None:
    """Refuse logits of other classes than the data's, as far as these are known.

    Raises:
        StillroomError: there are more or fewer of them.
    """
    classes = len(data.class_names) if data.sources.class_names is not None else "C"
    if logits.dim() != 2 or classes not in ("C", logits.shape[1]):
        raise StillroomError(
            "the model's classes are not the data's",
            where=where,
            expected=f"logits (N, {classes}) for {type(data).__name__}",
            got=tuple(logits.shape),
            fix=fix,
        )


def _check_task(job: Job, output: Any, context: Mapping[str, Any], where: str) -> None:
    labels = context.get("labels")
    if not isinstance(labels, Tensor):
        raise StillroomError(
            "the task loss needs labels, and the data has none", where="task", fix="Set task_weight to 0."
        )
    logits = logits_of(output)
    same_classes(logits, job.data, where, fix="Set its number of classes.")
    try:
        loss = task_loss(job.task)(logits, labels)
    except Exception as error:
        raise StillroomError("the task loss failed", where="task", got=_said(error)) from error
    if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
        raise StillroomError("the task loss must return one number", where="task", got=repr(loss))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
