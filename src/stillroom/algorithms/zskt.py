"""ZSKT: Micaelli, Storkey, Zero-shot Knowledge Transfer via Adversarial Belief Matching, NeurIPS 2019."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor, nn

from stillroom.algorithms.algorithm import OptimizerMaker, SchedulerMaker
from stillroom.algorithms.data_free import DataFree
from stillroom.algorithms.generation import GeneratorSchedulerMaker
from stillroom.distillers import Distiller
from stillroom.losses.kl_divergence import kl_divergence


@final
class ZSKT(DataFree):
    """The generator makes images on which the classes of student and teacher differ most.

    It minimises ``-weight * KL(p_t || p_s)``, the mean over all elements of (N, C), once before each ``student_steps``
    steps of the student, each on new images. The student is taught with :class:`~stillroom.losses.KLDivergence` and
    :class:`~stillroom.losses.AttentionTransfer` of its stages. The authors let it see the images of the generator's
    step again; here they are new.

    Args:
        distiller: prepared, with one teacher and at least one term.
        generator: makes images of random numbers, whose count is its attribute ``latent``; trained in place.
        generator_optimizer: makes the optimizer of its parameters.
        generator_scheduler: makes a scheduler of that optimizer; it steps whenever the generator does.
        student_steps: batches for one step of the generator.
        weight: of the generator's loss.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: what the student is measured by.
        task_weight: 0, since generated images have no labels.

    Raises:
        StillroomError: as of :class:`~stillroom.algorithms.DataFree`.
    """

    def __init__(  # noqa: PLR0913 - as of DataFree, and the weight
        self,
        distiller: Distiller,
        *,
        generator: nn.Module,
        generator_optimizer: OptimizerMaker,
        generator_scheduler: GeneratorSchedulerMaker | None = None,
        student_steps: int = 10,
        weight: float = 2.0,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float = 0.0,
    ) -> None:
        super().__init__(
            distiller,
            generator=generator,
            generator_optimizer=generator_optimizer,
            generator_scheduler=generator_scheduler,
            student_steps=student_steps,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        self.weight = weight

    def objective(self, images: Tensor) -> Tensor:
        student, teacher = self.student_says(images), self.teacher_says(images)
        return -self.weight * kl_divergence(student, teacher, reduction="mean")
