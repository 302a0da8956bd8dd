"""What a student learns without a teacher, and how well it does: the abstraction over classification and detection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from stillroom.data import DataModule


@dataclass  # not frozen: torchmetrics copies what a meter computes field by field
class Evaluation:
    """How good a model is on some samples.

    Attributes:
        accuracy: the value of the metric, 0 to 1.
        loss: mean task loss.
        count: of samples.
        chance: what the metric reaches without looking at the samples.
        metric: its name.
        top5: share of samples whose class is among the five most probable ones; None for five classes or fewer, and
            for what is no classifier.
    """

    accuracy: float
    loss: float
    count: int
    chance: float
    metric: str = "accuracy"
    top5: float | None = None
    details: dict[str, float] = field(default_factory=dict[str, float])
    per_class: dict[int, dict[str, float]] = field(default_factory=dict[int, dict[str, float]])

    @property
    def beats_chance(self) -> bool:
        """Whether the value is more than two standard deviations above chance."""
        return self.accuracy > self.chance + 2 * sqrt(self.chance * (1 - self.chance) / self.count)


class Meter(Metric, ABC):
    """Gathers over batches, and over processes, how good a model is."""

    @abstractmethod
    def update(self, model: nn.Module, inputs: Any, context: Mapping[str, Any]) -> None:
        """Run the model, in eval mode and without gradients, on a batch with labels."""

    @abstractmethod
    def compute(self) -> Evaluation:
        """Of all batches since the last ``reset``."""


class Task(nn.Module, ABC):
    """A task: called as ``task(output, context)`` it is the loss of what the student returned in training.

    Attributes:
        metric: what its models are measured in, 0 to 1, the more the better; a column of metrics.csv.
        chance: what the value that needs no looking is, in words.
        beats_untrained: whether that is what the same model reaches untrained, and so must be measured; else an
            evaluation knows it.
    """

    metric: str
    chance: str
    beats_untrained: bool = False

    @abstractmethod
    def forward(self, output: Any, context: Mapping[str, Any]) -> Tensor:
        """The loss, a scalar.

        Raises:
            StillroomError: the output or the context lacks what it is made of.
        """

    def parts(self, output: Any) -> Mapping[str, Tensor]:
        """What that loss is the sum of, scalars by name; none where it is one thing."""
        del output
        return {}

    @abstractmethod
    def labelled(self, inputs: Any, context: Mapping[str, Any]) -> bool:
        """Whether a batch can be learned from and measured."""

    @abstractmethod
    def meter(self, *, joint: bool = True, details: bool = False) -> Meter:
        """A new meter.

        Args:
            joint: gather from all processes that train together; else each measures for itself.
            details: measure what costs more than the metric, too, where the task has such.
        """

    @abstractmethod
    def expect_classes(self, model: nn.Module, output: Any, data: DataModule, *, fix: str) -> None:
        """Refuse a model of other classes than the data's, as far as both are known.

        Args:
            model: to be trained, or to teach.
            output: what it returned for a batch.
            data: the data.
            fix: what the user can do.

        Raises:
            StillroomError: there are more or fewer of them.
        """
