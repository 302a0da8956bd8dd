"""Tasks by name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from stillroom.algorithms.classification import Classification
from stillroom.algorithms.detection import Detection
from stillroom.algorithms.task import Task
from stillroom.errors import StillroomError, did_you_mean

TASKS: Mapping[str, type[nn.Module]] = {"cross_entropy": nn.CrossEntropyLoss, "detection": Detection}


def task_loss(task: str | nn.Module) -> nn.Module:
    """What a recipe calls its task: a loss called as ``loss(logits, labels)``, or a whole :class:`Task`.

    Raises:
        StillroomError: there is no such name, or it is neither.
    """
    if isinstance(task, nn.Module):
        return task
    if not isinstance(task, str):  # pyright: ignore[reportUnnecessaryIsInstance] - of a user
        expected = "its name, or a loss module called as loss(logits, labels)"
        raise StillroomError("this is no task", where="task", expected=expected, got=repr(task))
    if task not in TASKS:
        raise StillroomError(f"there is no task {task!r}", where="task", fix=did_you_mean(task, TASKS))
    return TASKS[task]()


def as_task(task: str | nn.Module) -> Task:
    """The task of this name, or that of a classifier with this loss, or the task itself.

    Raises:
        StillroomError: there is no such name.
    """
    found = task_loss(task)
    return found if isinstance(found, Task) else Classification(found)
