"""How good a model is on one split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from stillroom.algorithms import Evaluation, as_task, split
from stillroom.reports import Score

__all__ = ["Evaluation", "evaluate", "named", "score"]


def score(found: Evaluation | None, *, epoch: int, names: Sequence[str] | None = None) -> Score | None:
    """What was found of a model after this epoch, as results keep it; None where nothing was.

    Args:
        found: of the model.
        epoch: counted from 1.
        names: of the classes; None: they are called by their numbers.
    """
    if found is None:
        return None
    return Score(
        epoch=epoch,
        accuracy=found.accuracy,
        loss=found.loss,
        top5=found.top5,
        details=found.details,
        per_class=named(found, names),
    )


def named(found: Evaluation, names: Sequence[str] | None) -> dict[str, dict[str, float]]:
    """The measures of each class, by its name."""
    return {names[label] if names else str(label): values for label, values in found.per_class.items()}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    *,
    task: str | nn.Module,
    device: torch.device | str = "cpu",
    details: bool = True,
) -> Evaluation | None:
    """Run a model over labelled batches in eval mode; its modes are restored.

    Args:
        model: on ``device`` already.
        batches: of a data module.
        task: by name, a loss called as ``task(logits, labels)``, or a whole task.
        device: where the batches go.
        details: measure what costs more than the metric, too.

    Returns:
        None where there are no labels, or no samples.

    Raises:
        StillroomError: a label lies outside of the model's classes.
    """
    measured = as_task(task)
    meter = measured.meter(joint=False, details=details).to(device)  # one process may evaluate while the others wait
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for batch in batches:
            inputs, context = split(move_data_to_device(dict(batch), torch.device(device)))
            if not measured.labelled(inputs, context):
                return None
            meter.update(model, inputs, context)
    finally:
        for module, training in modes:
            module.training = training
    return meter.compute() if meter.update_called else None
