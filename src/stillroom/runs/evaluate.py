"""How good a model is on one split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from stillroom.algorithms import Evaluation, as_task, split
from stillroom.reports import Score

__all__ = ["Evaluation", "evaluate", "score"]


def score(found: Evaluation | None, *, epoch: int) -> Score | None:
    """What was found of a model after this epoch, as results keep it; None where nothing was."""
    return None if found is None else Score(epoch=epoch, accuracy=found.accuracy, loss=found.loss, top5=found.top5)


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[Mapping[str, Any]], *, task: str | nn.Module, device: torch.device | str = "cpu"
) -> Evaluation | None:
    """Run a model over labelled batches in eval mode; its modes are restored.

    Args:
        model: on ``device`` already.
        batches: of a data module.
        task: by name, a loss called as ``task(logits, labels)``, or a whole task.
        device: where the batches go.

    Returns:
        None where there are no labels, or no samples.

    Raises:
        StillroomError: a label lies outside of the model's classes.
    """
    measured = as_task(task)
    meter = measured.meter(joint=False).to(device)  # one process may evaluate while the others wait
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
