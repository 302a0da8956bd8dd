"""One training, four ways: the student alone, by hand, with a Distiller, and through ``stillroom train``."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from measure import CONTROL
from stillroom.algorithms import Offline
from stillroom.distillers import Distiller, Term
from stillroom.losses import L2, KLDivergence
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs.checkpoints import Checkpoints
from stillroom.runs.history import History
from stillroom.runs.randomness import StepRandomness

BATCH, TAU, KL_WEIGHT, HINT_WEIGHT = 32, 4.0, 0.9, 0.5
HAND, AGAIN, LOSSES = "by hand", "by hand, again", "by hand, our losses"
DISTILLER, TRAIN = "Distiller", "stillroom train"

Batch = dict[str, Tensor]
Report = Callable[[Tensor], None]
Loop = Callable[[Sequence[Batch], Report], None]
"""Trains on the batches in their order and reports the loss after each step."""
Formula = Callable[[Tensor, Tensor], Tensor]
"""The loss between a value of the student and the teacher's."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A pair of models and how long to train it in one block.

    Attributes:
        student, teacher: make them.
        site: the module, of both, whose outputs the feature term compares; of equal shapes.
        shape: of one input.
        classes: of the labels.
        threads: that torch may use.
        steps: timed in one block.
        warm_up: steps before those.
    """

    student: Callable[[], nn.Module]
    teacher: Callable[[], nn.Module]
    site: str
    shape: tuple[int, ...]
    classes: int
    threads: int
    steps: int
    warm_up: int

    def batches(self) -> list[Batch]:
        return [
            {"inputs": torch.randn(BATCH, *self.shape), "labels": torch.randint(self.classes, (BATCH,))}
            for _ in range(self.warm_up + self.steps)
        ]


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)


def alone(student: nn.Module) -> Loop:
    """The control: the student without a teacher."""
    optimizer = sgd(student.parameters())

    def loop(batches: Sequence[Batch], report: Report) -> None:
        for batch in batches:
            loss = F.cross_entropy(student(batch["inputs"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(loss)

    return loop


def kl_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    log_p, log_q = F.log_softmax(student / TAU, dim=1), F.log_softmax(teacher / TAU, dim=1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * TAU**2


def by_hand(
    student: nn.Module, teacher: nn.Module, site: str, *, kl: Formula = kl_divergence, hint: Formula = F.mse_loss
) -> Loop:
    """What one writes without a framework."""
    teacher.eval().requires_grad_(False)
    seen: dict[str, Tensor] = {}
    student.get_submodule(site).register_forward_hook(lambda _module, _args, output: seen.update(student=output))
    teacher.get_submodule(site).register_forward_hook(lambda _module, _args, output: seen.update(teacher=output))
    optimizer = sgd(student.parameters())

    def loop(batches: Sequence[Batch], report: Report) -> None:
        for batch in batches:
            images, labels = batch["inputs"], batch["labels"]
            with torch.no_grad():
                target = teacher(images)
            logits = student(images)
            terms = KL_WEIGHT * kl(logits, target) + HINT_WEIGHT * hint(seen["student"], seen["teacher"])
            loss = F.cross_entropy(logits, labels) + terms
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(loss)

    return loop


def prepared(student: nn.Module, teacher: nn.Module, site: str, batch: Batch) -> Distiller:
    terms = {
        "kl": Term(KLDivergence(tau=TAU), weight=KL_WEIGHT),
        "hint": Term(L2(), student=site, teacher=site, weight=HINT_WEIGHT),
    }
    distiller = Distiller(student, teacher, terms=terms)
    distiller.prepare(batch["inputs"], labels=batch["labels"])
    return distiller


def with_distiller(distiller: Distiller) -> Loop:
    """The same loop with a distiller in place of hooks, teacher and formulas."""
    optimizer = sgd(distiller.parameters())

    def loop(batches: Sequence[Batch], report: Report) -> None:
        for batch in batches:
            images, labels = batch["inputs"], batch["labels"]
            distilled = distiller(images, labels=labels)
            loss = F.cross_entropy(distilled.output, labels) + distilled.loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(loss)

    return loop


class Reporter(Callback):
    """Reports from inside a Trainer; it stands where a run has the callback that notes signals."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.report(outputs["loss"])


class InMemory:
    """A loader that costs nothing; Lightning would take a list for several loaders."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Lightning's advice on loaders and devices is not for a list of batches."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def through_trainer(distiller: Distiller) -> Loop:
    """One epoch with the module, the callbacks and the Trainer of ``stillroom train``, without progress bar."""
    algorithm = Offline(distiller, optimizer=sgd)
    settings = TrainerSettings(max_epochs=1, accelerator="cpu")

    def loop(batches: Sequence[Batch], report: Report) -> None:
        with TemporaryDirectory() as name, quiet():
            folder = Path(name)
            history = History(folder, every=settings.log_every)
            callbacks = [StepRandomness(0), history, Reporter(report), Checkpoints(folder, monitor=None)]
            trainer = Trainer(
                **settings.lightning(),
                default_root_dir=folder,
                callbacks=callbacks,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(algorithm, InMemory(batches))

    return loop


def loops(size: Size) -> dict[str, Loop]:
    """All arms, each with models of its own that start from the same weights."""
    torch.manual_seed(0)
    student, teacher = size.student(), size.teacher()
    batch = size.batches()[0]

    def pair() -> tuple[nn.Module, nn.Module, str]:
        return copy.deepcopy(student), copy.deepcopy(teacher), size.site

    return {
        CONTROL: alone(copy.deepcopy(student)),
        HAND: by_hand(*pair()),
        LOSSES: by_hand(*pair(), kl=KLDivergence(tau=TAU), hint=L2()),
        DISTILLER: with_distiller(prepared(*pair(), batch)),
        TRAIN: through_trainer(prepared(*pair(), batch)),
        AGAIN: by_hand(*pair()),
    }
