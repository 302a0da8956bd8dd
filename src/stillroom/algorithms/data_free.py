"""Data-free distillation: a student learns its teacher's answers to images that a generator makes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.func import functional_call

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, refuse_names
from stillroom.algorithms.classification import logits_of
from stillroom.algorithms.generation import Generation, GeneratorSchedulerMaker
from stillroom.distillers import Distiller, Teacher
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError

STATE, PART = "generation", "generator"


class DataFree(Algorithm):
    """Trains a student on generated images, and their generator by what student and teacher make of them.

    Each batch is one step of the student: the distiller's terms on new images, without labels. Every
    ``student_steps``-th batch the generator takes a step of its own optimizer. Of a batch of data only the number of
    images counts; :class:`~stillroom.data.Noise` gives batches where there is no data at all. Validation is that of all
    algorithms, on real images.

    The generator's pass leaves nothing behind: the student is called with copies of its statistics and with weights
    that get no gradient, the teacher is frozen. Its loss is the part ``generator`` of a step, with weight 0. The
    trainer's gradient clipping is for the student alone.

    Args:
        distiller: prepared, with one teacher and at least one term.
        generator: makes images of random numbers, whose count is its attribute ``latent``; trained in place.
        generator_optimizer: makes the optimizer of its parameters.
        generator_scheduler: makes a scheduler of that optimizer; it steps whenever the generator does.
        student_steps: batches for one step of the generator.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: what the student is measured by.
        task_weight: 0, since generated images have no labels.

    Raises:
        StillroomError: ``task_weight`` is not 0, there are no terms or not one plain teacher, or ``student_steps`` is
            below 1; when training starts: the trainer has a gradient scaler, accumulates gradients, or cuts the models
            into pieces.

    Attributes:
        student_first: the generator steps before every ``student_steps``-th batch but the first; else before the first
            one too.
        one_batch: the images of the generator's step are those that the student sees; else new ones.
    """

    student_first: ClassVar[bool] = False
    one_batch: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 - what all algorithms take, and the training of the generator
        self,
        distiller: Distiller,
        *,
        generator: nn.Module,
        generator_optimizer: OptimizerMaker,
        generator_scheduler: GeneratorSchedulerMaker | None = None,
        student_steps: int = 1,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float = 0.0,
    ) -> None:
        super().__init__(
            distiller,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        _expect(distiller, task_weight, student_steps)
        self.student_steps = student_steps
        self.generation = Generation(generator, generator_optimizer, generator_scheduler)

    @abstractmethod
    def objective(self, images: Tensor) -> Tensor:
        """What the generator minimises: a scalar with a gradient for the images, (N, C, H, W)."""

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        # Drawn first: what the student sees does not depend on how often the generator draws.
        numbers = self.generation.numbers(len(_images(batch)))
        seen: Tensor | None = None
        loss: Tensor | None = None
        if self._is_due():
            images = self.generation.generator(numbers if self.one_batch else self.generation.numbers(len(numbers)))
            loss = self.objective(images)
            self.generation.step(loss)
            seen = images.detach() if self.one_batch else None
        step = self.taught({"inputs": self._generated(numbers) if seen is None else seen})
        if loss is not None:
            step["parts"][PART], step["weights"][PART] = loss.detach(), 0.0
        return step

    def student_says(self, images: Tensor) -> Tensor:
        """The student's logits, with a gradient for the images and for nothing of the student; (N, C)."""
        own: dict[str, Tensor] = {name: value.detach() for name, value in self.student.named_parameters()}
        own |= {name: value.clone() for name, value in self.student.named_buffers()}
        return logits_of(functional_call(self.student, own, (images,)))

    def teacher_says(self, images: Tensor) -> Tensor:
        """The teacher's logits, with a gradient for the images; (N, C)."""
        return logits_of(self.teacher(images))

    @property
    def teacher(self) -> nn.Module:
        """The teacher's network."""
        return _only(self.distiller).network

    def samples(self, count: int) -> Tensor | None:
        return self.generation.samples(count)

    def rehearse(self, batch: Mapping[str, Any]) -> None:
        """Make two images, and ask what the generator would be told of them.

        Raises:
            StillroomError: they have another shape than the data's, or the objective cannot be computed.
        """
        wanted = tuple(_images(batch).shape[1:])
        with untouched(self.generation.generator):
            images = self.generation.generator(self.generation.numbers(2))
            if tuple(images.shape[1:]) != wanted:
                raise StillroomError(
                    "the generator's images are not like those of the data",
                    where="algorithm.generator",
                    expected=f"images of shape {wanted}",
                    got=tuple(images.shape[1:]),
                    fix="Set its image_size and channels.",
                )
            try:
                self.objective(images)
            except StillroomError as error:
                raise error.at("algorithm") from None

    def on_fit_start(self) -> None:
        _expect_trainer(self.trainer)
        self.generation.start(self.device, cast("torch.dtype", self.dtype))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[STATE] = self.generation.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.generation.restore(checkpoint[STATE])

    @torch.no_grad()
    def _generated(self, numbers: Tensor) -> Tensor:
        return self.generation.generator(numbers)

    def _is_due(self) -> bool:
        rounds, rest = divmod(self.global_step, self.student_steps)
        return rest == 0 and not (self.student_first and rounds == 0)


def _expect(distiller: Distiller, task_weight: float, student_steps: int) -> None:
    if task_weight != 0:
        raise StillroomError(
            "generated images have no labels",
            where="task_weight",
            expected=0,
            got=task_weight,
            fix="The student learns from the terms alone.",
        )
    if not distiller.terms:
        raise StillroomError("there is nothing to learn from", where="terms", expected="at least one", got="none")
    refuse_names(distiller, (PART,))
    if student_steps < 1:
        raise StillroomError("bad student_steps", where="algorithm", expected="1 or more", got=student_steps)
    only = _only(distiller)
    if only.transform is not None or only.classes is not None:
        raise StillroomError(
            "the teacher must take the student's inputs and have its classes",
            where="teacher",
            got="a Teacher with a transform or a map of classes",
            fix="Put both into its network.",
        )


def _only(distiller: Distiller) -> Teacher:
    holders = list(distiller.teachers.values())
    if len(holders) != 1:
        raise StillroomError("there must be one teacher", where="teacher", got=list(distiller.teachers) or "none")
    return cast("Teacher", holders[0])


def _expect_trainer(trainer: Trainer) -> None:
    strategy, precision, accumulated = trainer.strategy, trainer.precision, trainer.accumulate_grad_batches
    for key, got, fits, expected in (
        ("precision", precision, precision != "16-mixed", "one without a gradient scaler, such as bf16-mixed"),
        ("accumulate_grad_batches", accumulated, accumulated == 1, "1: each batch is a step; choose a larger one"),
        ("strategy", type(strategy).__name__, isinstance(strategy, SingleDeviceStrategy | DDPStrategy), "ddp"),
    ):
        if not fits:
            problem = "a generator cannot be trained like this beside the student"
            raise StillroomError(problem, where=f"trainer.{key}", expected=expected, got=got)


def _images(batch: Mapping[str, Any]) -> Tensor:
    inputs = batch["inputs"]
    if not isinstance(inputs, Tensor):
        raise StillroomError(
            "data-free distillation is for images alone", where="data", expected="a Tensor", got=type(inputs).__name__
        )
    return inputs
