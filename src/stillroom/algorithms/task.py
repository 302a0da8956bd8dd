"""The task loss: what the student would be trained with if it had no teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from stillroom.errors import StillroomError, did_you_mean
from stillroom.recorders import describe

TASKS: Mapping[str, type[nn.Module]] = {"cross_entropy": nn.CrossEntropyLoss}


def task_loss(task: str | nn.Module) -> nn.Module:
    """The loss of this name, or the module itself: called as ``loss(logits, labels)``.

    Raises:
        StillroomError: there is no such name.
    """
    if isinstance(task, nn.Module):
        return task
    if task not in TASKS:
        raise StillroomError(f"there is no task {task!r}", where="task", fix=did_you_mean(task, TASKS))
    return TASKS[task]()


def logits_of(output: Any) -> Tensor:
    """The logits in what a classifier returned: a Tensor, a mapping with ``"logits"`` or an object with ``.logits``.

    Raises:
        StillroomError: there are none.
    """
    found: Any = cast("Mapping[str, Any]", output).get("logits") if isinstance(output, Mapping) else output
    found = getattr(found, "logits", found)
    if not isinstance(found, Tensor):
        raise StillroomError(
            "the student's output holds no logits",
            expected='a Tensor, a mapping with "logits" or an object with .logits',
            got=describe(output),
            fix="Distil with task_weight=0, or wrap the model.",
        )
    return found
