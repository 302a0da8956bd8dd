"""Door 2: one call on your own objects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillroom.algorithms import OptimizerMaker
from stillroom.data import Sets
from stillroom.data.samples import Source
from stillroom.deliveries import Delivery
from stillroom.distillers import Schedule, Term, default_terms
from stillroom.errors import StillroomError
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs import sections
from stillroom.runs.assess import assessed
from stillroom.runs.compare import StudentRole, compare_jobs, expect_comparison
from stillroom.runs.fit import fit
from stillroom.runs.folder import last_checkpoint, new_folder
from stillroom.runs.job import Job, Trained
from stillroom.runs.run import Comparison, Run

NAME = "distill"


def distill(
    student: nn.Module,
    teacher: nn.Module,
    train: Source,
    val: Source,
    *,
    test: Source | None = None,
    terms: Mapping[str, Term] | None = None,
    deliveries: Mapping[str, Delivery] | None = None,
    inherit: Mapping[str, str] | None = None,
    task: str | nn.Module = "cross_entropy",
    task_weight: float | Schedule = 1.0,
    epochs: int,
    batch_size: int = 64,
    optimizer: OptimizerMaker | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
    check: bool = True,
    resume: bool = False,
) -> Run:
    """Distil a trained teacher into a student.

    Args:
        student: the model to train, in place; returns logits (N, C).
        teacher: a trained classifier of the same classes; frozen from here on.
        train: what to train on: (input, label) pairs, or inputs alone with ``task_weight=0``.
        val: what picks the best epoch.
        test: what the results are measured on besides.
        terms: terms by name; None for plain knowledge distillation, ``KLDivergence(tau=4)``, or for none at all where
            there are deliveries.
        deliveries: by name, what the student takes over from the teacher's forward pass.
        inherit: the parts of the teacher that the student starts with: see :func:`stillroom.inherit`.
        task: ``"cross_entropy"``, or a module called as ``task(logits, labels)``.
        task_weight: of the task loss, a number or a schedule; 0 leaves it out, and labels are optional then.
        epochs: to train.
        batch_size: per device.
        optimizer: makes the optimizer of an iterator of parameters; None for SGD with lr 0.05, momentum 0.9, weight
            decay 5e-4.
        seed: of order, augmentation, dropout and connectors. The student's weights are yours.
        out: the run folder; None for ``runs/distill-<time>``.
        trainer: further keys of the trainer, as in a recipe: ``{"devices": 2, "precision": "bf16-mixed"}``.
        check: refuse a teacher that is no better than chance on ``val``.
        resume: go on with a run in ``out`` that was stopped, given the same arguments.

    Returns:
        The run: ``run.model`` is the plain student, ``run.report()`` writes ``report.html``.

    Raises:
        StillroomError: something does not fit together, the teacher is no better than chance, or ``out`` exists.
        InterruptedRun: SIGINT or SIGTERM ended the training.
    """
    folder = _folder(out, resume=resume)
    data = Sets(train, val, test, batch_size=batch_size)
    options = _Options(terms, deliveries, inherit, task, task_weight, optimizer, _settings(epochs, trainer), data)
    trained = assessed(teacher, data, task=task, check=check, unchecked="check=False")
    job = options.job("distilled", student, sections.seed(seed), folder, {"teacher": trained})
    return fit(job, checkpoint=last_checkpoint(folder) if resume else None)


def compare(
    make_student: Callable[[], nn.Module],
    teacher: nn.Module,
    train: Source,
    val: Source,
    *,
    seeds: int = 3,
    test: Source | None = None,
    terms: Mapping[str, Term] | None = None,
    deliveries: Mapping[str, Delivery] | None = None,
    inherit: Mapping[str, str] | None = None,
    make_alone: Callable[[], nn.Module] | None = None,
    task: str | nn.Module = "cross_entropy",
    task_weight: float | Schedule = 1.0,
    epochs: int,
    batch_size: int = 64,
    optimizer: OptimizerMaker | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
    check: bool = True,
    resume: bool = False,
) -> Comparison:
    """Does distillation help? The same student alone and distilled, from the same weights, with the same budget.

    Args:
        make_student: makes a fresh student; called under the seed of each run.
        seeds: how many runs of each kind, from ``seed`` upwards.
        make_alone: makes the student that is trained alone, where it is another one, such as the plain network of a
            :class:`~stillroom.models.SimKDStudent`.
        teacher, train, val, test, terms, deliveries, inherit, task, task_weight, epochs, batch_size, optimizer, seed,
        out, trainer, check, resume:
            as of :func:`distill`.

    Returns:
        The comparison: ``print(comparison.markdown())``, ``comparison.report()``.

    Raises:
        StillroomError: as of :func:`distill`, or ``make_student`` returns the same object twice.
    """
    folder = _folder(out, resume=resume)
    _expect_factory("make_student", make_student)
    if make_alone is not None:
        _expect_factory("make_alone", make_alone)
    if make_student() is make_student():
        raise StillroomError(
            "make_student returned the same object twice", where="make_student", fix="Build a new one in each call."
        )
    data = Sets(train, val, test, batch_size=batch_size)
    options = _Options(terms, deliveries, inherit, task, task_weight, optimizer, _settings(epochs, trainer), data)
    expect_comparison(seeds, distils=bool(options.terms or options.deliveries))
    first = sections.seed(seed)
    trained = assessed(teacher, data, task=task, check=check, unchecked="check=False")

    def job(role: StudentRole, run_seed: int, inside: Path) -> Job:
        torch.manual_seed(run_seed)
        make = make_alone if role == "alone" and make_alone is not None else make_student
        made = options.job(role, make(), run_seed, inside, {"teacher": trained} if role == "distilled" else {})
        # What connectors and losses learn in one run must not reach the next.
        return replace(made, terms=copy.deepcopy(made.terms), task=copy.deepcopy(made.task))

    return compare_jobs(folder, job, {"teacher": trained}, range(first, first + seeds), config=options.config(None))


class _Options:
    """What all runs of one call share."""

    def __init__(
        self,
        terms: Mapping[str, Term] | None,
        deliveries: Mapping[str, Delivery] | None,
        inherit: Mapping[str, str] | None,
        task: str | nn.Module,
        task_weight: float | Schedule,
        optimizer: OptimizerMaker | None,
        settings: TrainerSettings,
        data: Sets,
    ) -> None:
        self.terms = default_terms(delivers=bool(deliveries)) if terms is None else dict(terms)
        self.deliveries, self.inherit = dict(deliveries or {}), dict(inherit or {})
        self.task, self.task_weight, self.settings, self.data = task, task_weight, settings, data
        if optimizer is not None and not callable(optimizer):
            kind = type(optimizer).__name__
            expected, fix = "a callable of parameters", f"Pass lambda p: {kind}(p, lr=...)."
            raise StillroomError(
                "this makes no optimizer", where="optimizer", expected=expected, got=f"{kind} object", fix=fix
            )
        self.optimizer = optimizer or (lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=5e-4))

    def job(
        self, role: StudentRole, student: nn.Module, seed: int, folder: Path, teachers: Mapping[str, Trained]
    ) -> Job:
        return Job(
            name=NAME,
            role=role,
            folder=folder,
            config=self.config(student) | {"seed": seed},
            student=student,
            data=self.data,
            settings=self.settings,
            optimizer=self.optimizer,
            teachers=teachers,
            terms=self.terms if role == "distilled" else {},
            deliveries=self.deliveries if role == "distilled" else {},
            inherit=self.inherit if role == "distilled" else {},
            task=self.task,
            task_weight=self.task_weight if role == "distilled" else self._alone_weight(),
            seed=seed,
        )

    def _alone_weight(self) -> float:
        """A student that is alone has nothing but the task, from the first step on."""
        return 1.0 if isinstance(self.task_weight, Schedule) else self.task_weight or 1.0

    def config(self, student: nn.Module | None) -> dict[str, Any]:
        """What can be said of objects in ``config.yaml``; only a recipe runs again as it stands."""
        return {
            "name": NAME,
            "student": None if student is None else {"object": type(student).__name__},
            "task": self.task if isinstance(self.task, str) else repr(self.task),
            "task_weight": repr(self.task_weight) if isinstance(self.task_weight, Schedule) else self.task_weight,
            "terms": {name: repr(term.loss) for name, term in self.terms.items()},
            "deliveries": {name: repr(delivery) for name, delivery in self.deliveries.items()},
            "inherit": self.inherit,
            "trainer": asdict(self.settings),
        }


def _folder(out: str | Path | None, *, resume: bool) -> Path:
    if not resume:
        fix = "Go on in it with resume=True, or choose another out."
        return new_folder(NAME, None if out is None else Path(out), fix=fix)
    if out is None:
        raise StillroomError("resume=True needs the folder to go on in", where="out", got=None, fix="Give out.")
    return Path(out)


def _expect_factory(where: str, make: object) -> None:
    if isinstance(make, nn.Module) or not callable(make):
        kind = type(make).__name__
        expected, fix = "a callable that returns a new model", f"Pass lambda: {kind}(...)."
        raise StillroomError("this is no factory", where=where, expected=expected, got=kind, fix=fix)


def _settings(epochs: int, trainer: Mapping[str, Any] | None) -> TrainerSettings:
    try:
        return sections.settings({**(trainer or {}), "max_epochs": epochs})
    except StillroomError as error:
        if error.where != "trainer.max_epochs":
            raise
        raise StillroomError(error.problem, where="epochs", expected=error.expected, got=error.got) from None
