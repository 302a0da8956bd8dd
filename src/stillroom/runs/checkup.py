"""The doctor's visit to a recipe: its data, its teachers, its terms and its pace, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from stillroom.algorithms import Algorithm, DataFree, FactorStage, Task, as_task, split
from stillroom.diagnosis import Finding, ModelSize, TermRow, examine, model_size, networks, shared, worst_first
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.reports import inside_task
from stillroom.runs.check import answer, same_classes
from stillroom.runs.fit import rehearsed
from stillroom.runs.job import Job
from stillroom.runs.lineup import measured, order_of_classes
from stillroom.runs.normalisation import normalised_alike
from stillroom.runs.pace import Pace, Step, batches_of_an_epoch, timed
from stillroom.runs.readable import Reading, first_batch, read_sample, spread_batches
from stillroom.runs.recipe import Recipe
from stillroom.runs.teachers import Standing, standing_teachers
from stillroom.runs.train import make_data, make_job, role_of

BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What a recipe looks like from inside.

    Attributes:
        name: of the recipe.
        device: on which it was examined.
        terms: the terms, the task, and other parts of the loss, in the first training batch.
        models: what student and teachers cost for one sample, by name.
        read: what was read of the data.
        pace: how long it will take; None where a step cannot run.
        findings: the worst first.
    """

    name: str
    device: str
    terms: tuple[TermRow, ...]
    models: Mapping[str, ModelSize]
    read: tuple[Reading, ...]
    pace: Pace | None
    findings: tuple[Finding, ...]


def check_recipe(recipe: Recipe, *, batches: int = BATCHES) -> Checkup:
    """Examine a recipe; nothing is trained and nothing is written, but data that can be downloaded is.

    Args:
        recipe: what would be trained. A teacher of it that is not trained yet is examined as it is.
        batches: of validation to measure trained teachers on, and steps to time, at least 1.

    Raises:
        StillroomError: there is no such data or teacher, a class refuses its arguments, or ``batches`` is below 1.
    """
    if batches < 1:
        raise StillroomError("there are too few batches", where="--batches", expected="at least 1", got=batches)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        return _Visit(recipe, batches).report()


class _Visit:
    """One recipe, its parts, and what was found so far."""

    def __init__(self, recipe: Recipe, batches: int) -> None:
        self.recipe, self.batches = recipe, batches
        self.data = make_data(recipe)
        self.data.seed = recipe.seed
        self.data.prepare_data()
        settings = replace(recipe.trainer, check=False)  # all that it looks at, and more, is looked at here
        self.job: Job = replace(make_job(recipe, self.data, Path(recipe.name), role_of(recipe)), settings=settings)
        self.task: Task = as_task(self.job.task)
        self.teachers: dict[str, Standing] = standing_teachers(recipe, self.data) if recipe.distils else {}
        on_cuda = recipe.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        self.device = torch.device("cuda" if on_cuda else "cpu")
        self.findings: list[Finding] = []
        self.rows: tuple[TermRow, ...] = ()
        self.pace: Pace | None = None

    def report(self) -> Checkup:
        names = self.data.sources.class_names
        loaders = {"train": self.data.train_dataloader(), "validation": self.data.val_dataloader()}
        classes = None if names is None else len(names)
        read = tuple(read_sample(split, loader, classes=classes) for split, loader in loaders.items())
        self.findings += [finding for each in read for finding in each.findings()]
        for part in (self._training, self._teachers):
            try:
                part(read)
            except StillroomError as error:
                self.findings.append(Finding.of(error))
            except Exception as error:  # a sample that cannot be read ends this in as many ways as there are readers
                if not any(each.complaints for each in read):
                    raise
                seen = f"what needs samples that cannot be read was not examined ({type(error).__name__})"
                self.findings.append(Finding("note", "data", seen))
        return Checkup(
            name=self.recipe.name,
            device=str(self.device),
            terms=self.rows,
            models=self._sizes(read),
            read=read,
            pace=self.pace,
            findings=worst_first(self.findings),
        )

    def _training(self, read: Sequence[Reading]) -> None:
        algorithm = rehearsed(self.job, {name: each.network for name, each in self.teachers.items()})
        distiller = algorithm.to(self.device).distiller
        try:
            batch = move_data_to_device(self._batch(algorithm), self.device)
            weight, learned = algorithm.task_weight, [name for name, each in self.teachers.items() if each.trained]
            untrained = [name for name in distiller.teachers if name not in learned]
            task = self.task if weight != 0 else None
            found = examine(distiller, batch, task=task, task_weight=weight, untrained=untrained)
            self.findings += found.findings
            if found.terms:
                step = self._step(algorithm)
                self.rows = shared([*found.terms, *_other_parts(step, algorithm, batch, found.terms)])
                self.pace = self._pace(timed(step, algorithm, distiller, batch, self.batches), read[0].seconds)
        finally:
            distiller.release()

    def _pace(self, step: tuple[float, int | None], sample_seconds: float) -> Pace:
        seconds, peak = step
        settings = self.recipe.trainer
        return Pace(
            batch_size=self.data.batch_size,
            step_seconds=seconds,
            sample_seconds=sample_seconds,
            workers=self.data.num_workers,
            batches=batches_of_an_epoch(self.data, settings),
            epochs=settings.max_epochs,
            peak_bytes=peak,
        )

    def _batch(self, algorithm: Algorithm) -> dict[str, Any]:
        if not isinstance(algorithm, DataFree):
            return first_batch(self.data)
        seen = "examined on images of the generator as it begins; its own training is not examined, nor timed"
        self.findings.append(Finding("note", "algorithm", seen))
        images = algorithm.samples(self.data.batch_size)
        return first_batch(self.data) if images is None else {"inputs": images}

    def _step(self, algorithm: Algorithm) -> Step:
        """What is timed: a step of which nothing remains."""
        if isinstance(algorithm, FactorStage):
            seen = f"the paraphraser's {algorithm.paraphrase_epochs} epochs are not examined, nor timed"
            self.findings.append(Finding("note", "algorithm", seen))
        if isinstance(algorithm, DataFree | FactorStage):
            return algorithm.taught
        return lambda batch: algorithm.training_step(batch, 0)

    def _teachers(self, read: Sequence[Reading]) -> None:
        if untrained := [name for name, each in self.teachers.items() if not each.trained]:
            seen = f"not trained yet, and examined without what it will know: {', '.join(untrained)}"
            self.findings.append(Finding("note", "teacher", seen, "stillroom train trains it first."))
        batches = spread_batches(self.data.val_dataloader(), self.batches, self.data.batch_size)
        for name, each in self.teachers.items():
            try:
                if each.trained:
                    self._classes(each)
                    self.findings += measured(each, self.job.student, batches, self.task, self.data, self.device)
                    self.findings += order_of_classes(each, self.data)
                    self.findings += normalised_alike(self.recipe, name, each, self.data)
            except StillroomError as error:
                self.findings.append(Finding.of(error if error.where else error.at(each.where)))

    def _classes(self, standing: Standing) -> None:
        inputs, context = split(move_data_to_device(self.data.sample(2), self.device))
        with torch.no_grad(), untouched(standing.network):
            output = answer(standing.network.to(self.device).eval(), inputs, standing.where)
        if self.task.labelled(inputs, context):
            fix = "Say which of its classes are the data's: classes: [3, 5, 8]."
            same_classes(self.task, standing.network, output, self.data, standing.where, fix=fix)

    def _sizes(self, read: Sequence[Reading]) -> dict[str, ModelSize]:
        models = {"student": self.job.student} | {
            name if len(group) == 1 else f"{name}.{number}": network
            for name, each in self.teachers.items()
            for group in [networks(each.network)]
            for number, network in enumerate(group)
        }
        try:
            example = self.data.example(1)
        except Exception:
            if not any(each.complaints for each in read):
                raise
            return {}
        return {name: model_size(model, example.to(_device(model))) for name, model in models.items()}


def _other_parts(
    step: Step, algorithm: Algorithm, batch: Mapping[str, Any], known: tuple[TermRow, ...]
) -> list[TermRow]:
    """What an algorithm adds to the terms and the task."""
    with untouched(algorithm):
        taken = step(batch)
    parts: dict[str, Tensor] = taken["parts"]
    names = [row.name for row in known]
    return [
        TermRow(name=name, loss=part.item(), weight=float(taken["weights"][name]))
        for name, part in parts.items()
        if name not in names and not inside_task(name)
    ]


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
