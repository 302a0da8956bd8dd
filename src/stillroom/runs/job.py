"""One training, fully described by objects: what all doors come down to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from stillroom.algorithms import Algorithm, Offline, OptimizerMaker, SchedulerMaker
from stillroom.data import DataModule
from stillroom.deliveries import Delivery
from stillroom.distillers import Schedule, Term
from stillroom.recipes.trainer import TrainerSettings
from stillroom.reports import TeacherFacts

Role = Literal["teacher", "alone", "distilled"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained teacher.

    Attributes:
        network: the model.
        facts: where it comes from and how good it is.
        folder: its run folder, where it has one.
    """

    network: nn.Module
    facts: TeacherFacts
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A student to train in a folder.

    Attributes:
        name: of the recipe.
        role: what the result is called: a teacher, a student alone or a distilled one.
        folder: the run folder.
        config: what ``config.yaml`` says.
        student: the model, trained in place.
        class_path: what makes the model again; None for one given as an object.
        init_args: with which arguments.
        dict_kwargs: and with which that its signature does not name.
        data: the data module.
        data_plain: what makes the data module again; None for one made of objects.
        settings: how long and on what.
        optimizer: makes the optimizer.
        teachers: the trained teachers by name; a single one is called teacher.
        terms: what the teacher teaches.
        deliveries: what the student takes over from it.
        algorithm: makes what trains, of the prepared distiller and what all algorithms take.
        teachers_for: the teachers that it makes of the student, by name.
        inherit: what the student starts with: paths of its modules to those of the teacher's.
        task: by name, a loss, or a whole task.
        task_weight: its weight, or a schedule of it; 0: none.
        scheduler: makes the learning-rate scheduler, or None.
        scheduler_interval: how often it steps.
        seed: of order, augmentation and dropout.
    """

    name: str
    role: Role
    folder: Path
    config: Mapping[str, Any]
    student: nn.Module
    data: DataModule
    settings: TrainerSettings
    optimizer: OptimizerMaker
    class_path: str | None = None
    init_args: Mapping[str, Any] | None = None
    dict_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    data_plain: Mapping[str, Any] | None = None
    teachers: Mapping[str, Trained] = field(default_factory=dict[str, Trained])
    terms: Mapping[str, Term] = field(default_factory=dict[str, Term])
    deliveries: Mapping[str, Delivery] = field(default_factory=dict[str, Delivery])
    algorithm: Callable[..., Algorithm] = Offline
    teachers_for: Callable[[nn.Module], Mapping[str, nn.Module]] = Offline.teachers_for
    inherit: Mapping[str, str] = field(default_factory=dict[str, str])
    task: str | nn.Module = "cross_entropy"
    task_weight: float | Schedule = 1.0
    scheduler: SchedulerMaker | None = None
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    seed: int = 0
