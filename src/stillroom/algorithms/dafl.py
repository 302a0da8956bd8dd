"""DAFL: Chen et al., Data-Free Learning of Student Networks, ICCV 2019."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from torch import Tensor, nn

from stillroom.algorithms.algorithm import OptimizerMaker, SchedulerMaker
from stillroom.algorithms.data_free import DataFree
from stillroom.algorithms.generation import GeneratorSchedulerMaker
from stillroom.distillers import Distiller
from stillroom.losses.activation_norm import activation_norm
from stillroom.losses.information_entropy import information_entropy
from stillroom.losses.one_hot_like import one_hot_like
from stillroom.recorders import record


@final
class DAFL(DataFree):
    """The generator makes images that the teacher is sure of, of all classes alike, that excite its features.

    It minimises ``one_hot * OneHotLike + entropy * InformationEntropy + activation * ActivationNorm`` of what the
    teacher says, in every batch; the student learns from the images of that batch as they were before the step. The
    authors teach it with ``KLDivergence(tau=6)``. InformationEntropy depends on the batch, in which all classes should
    have room.

    Args:
        distiller: prepared, with one teacher and at least one term.
        generator: makes images of random numbers, whose count is its attribute ``latent``; trained in place.
        generator_optimizer: makes the optimizer of its parameters.
        generator_scheduler: makes a scheduler of that optimizer; it steps whenever the generator does.
        feature: the teacher's site that ActivationNorm reads, the pooled vector before the classifier.
        one_hot: weight of :class:`~stillroom.losses.OneHotLike`.
        entropy: weight of :class:`~stillroom.losses.InformationEntropy`.
        activation: weight of :class:`~stillroom.losses.ActivationNorm`.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: what the student is measured by.
        task_weight: 0, since generated images have no labels.

    Raises:
        StillroomError: as of :class:`~stillroom.algorithms.DataFree`; in the rehearsal: the teacher has no such site.
    """

    one_batch: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - as of DataFree, and the weights
        self,
        distiller: Distiller,
        *,
        generator: nn.Module,
        generator_optimizer: OptimizerMaker,
        generator_scheduler: GeneratorSchedulerMaker | None = None,
        feature: str,
        one_hot: float = 0.05,
        entropy: float = 5.0,
        activation: float = 0.01,
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
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        self.feature = feature
        self.one_hot, self.entropy, self.activation = one_hot, entropy, activation

    def objective(self, images: Tensor) -> Tensor:
        with record(self.teacher, feature=self.feature) as seen:
            logits = self.teacher_says(images)
        return (
            self.one_hot * one_hot_like(logits)
            + self.entropy * information_entropy(logits)
            + self.activation * activation_norm(seen["feature"])
        )
