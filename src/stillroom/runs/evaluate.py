"""How good a classifier is on one split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.algorithms import logits_of, split
from stillroom.errors import StillroomError


@dataclass(frozen=True)
class Evaluation:
    """Accuracy (0 to 1) and mean loss over ``count`` labelled samples; ``chance`` is the share of the largest class."""

    accuracy: float
    loss: float
    count: int
    chance: float

    @property
    def beats_chance(self) -> bool:
        """Whether the accuracy is more than two standard deviations above always naming the largest class."""
        return self.accuracy > self.chance + 2 * sqrt(self.chance * (1 - self.chance) / self.count)


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[Mapping[str, Any]], *, task: nn.Module, device: torch.device | str = "cpu"
) -> Evaluation | None:
    """Run a model over labelled batches in eval mode; its modes are restored.

    Args:
        model: on ``device`` already; returns logits (N, C).
        batches: of a data module.
        task: the loss, called as ``task(logits, labels)``.
        device: where the batches go.

    Returns:
        None where there are no labels, or no samples.

    Raises:
        StillroomError: a label lies outside of the model's classes.
    """
    right, loss, labels = 0, 0.0, list[Tensor]()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for batch in batches:
            if "labels" not in batch:
                return None
            inputs, context = split(batch)
            target = context["labels"].to(device)
            logits = logits_of(model(inputs.to(device)))
            if int(target.max()) >= logits.shape[1]:
                raise StillroomError(
                    "the model has fewer classes than the data",
                    expected=f"labels below {logits.shape[1]}",
                    got=f"label {int(target.max())}",
                )
            right += int((logits.argmax(1) == target).sum())
            loss += float(task(logits, target)) * len(target)
            labels.append(target.cpu())
    finally:
        for module, training in modes:
            module.training = training
    if not labels:
        return None
    everything = torch.cat(labels)
    count = len(everything)
    return Evaluation(right / count, loss / count, count, float(torch.bincount(everything).max()) / count)
