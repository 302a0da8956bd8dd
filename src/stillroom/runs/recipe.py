"""Recipes: YAML in, checked parts out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from torch import nn

from stillroom.deliveries import Delivery
from stillroom.distillers import Schedule, Term
from stillroom.errors import StillroomError
from stillroom.files import read_text
from stillroom.recipes import find_recipe, is_recipe
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs import sections, team
from stillroom.runs.build import Spec, expect_known, spec
from stillroom.runs.folder import WEIGHTS, is_bare
from stillroom.runs.overrides import HOMES, overridden
from stillroom.runs.team import SHARED
from stillroom.runs.terms import TermSpec, make_terms, term_specs, weight
from stillroom.runs.variants import chosen

STUDENT_KEYS = ("name", "student", "alone", "task_weight", "terms", "deliveries", "inherit", "algorithm")
KEYS = (*STUDENT_KEYS, "teacher", "teachers", *SHARED)
PLACE_KEYS = ("root", "num_workers")
"""Arguments of a data module that say where the data lies and how it is read, not what it is."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; nothing in it is built yet.

    Attributes:
        name: of the recipe.
        student: the model to train.
        alone: the student that a comparison trains alone, where it is another one; or None.
        teacher: a mapping of a teacher's keys, a recipe, run folder, checkpoint or weights file by name, or None.
        teachers: the same by name, for several; and ensembles of them.
        data: the data module.
        task: ``"cross_entropy"``, or a loss module.
        task_weight: of the task loss, a number or a schedule.
        terms: by name.
        deliveries: by name.
        algorithm: who trains whom; None: trained teachers teach the student.
        inherit: which parts of the trained teacher the student starts with: its module's path to the teacher's.
        optimizer: made with the parameters.
        scheduler: made with the optimizer, or None.
        scheduler_interval: whether it steps by epoch or by optimizer step.
        trainer: how long and on what.
        seed: of weights, order and augmentation.
    """

    name: str
    student: Spec
    alone: Spec | None
    teacher: Mapping[str, Any] | str | None
    teachers: Mapping[str, Mapping[str, Any] | str]
    data: Spec
    task: Spec | str
    task_weight: Spec | float
    terms: Mapping[str, TermSpec]
    deliveries: Mapping[str, Spec]
    inherit: Mapping[str, str]
    algorithm: Spec | None
    optimizer: Spec
    scheduler: Spec | None
    scheduler_interval: Literal["epoch", "step"]
    trainer: TrainerSettings
    seed: int

    def make_terms(self) -> dict[str, Term]:
        """The terms, built.

        Raises:
            StillroomError: names the term and the key.
        """
        return make_terms(self.terms)

    def make_deliveries(self) -> dict[str, Delivery]:
        return {name: cast("Delivery", delivery.make()) for name, delivery in self.deliveries.items()}

    @property
    def distils(self) -> bool:
        """Whether anything comes from a teacher, or from terms on the student alone."""
        return bool(self.terms or self.deliveries or self.algorithm)

    @property
    def team(self) -> dict[str, Mapping[str, Any] | str]:
        """All teachers by name; a single one is called teacher."""
        return dict(self.teachers) if self.teacher is None else {"teacher": self.teacher}

    def make_task(self) -> str | nn.Module:
        return self.task if isinstance(self.task, str) else cast("nn.Module", self.task.make())

    def make_task_weight(self) -> float | Schedule:
        return self.task_weight.make() if isinstance(self.task_weight, Spec) else self.task_weight

    def plain(self) -> dict[str, Any]:
        """The whole recipe as YAML holds it, defaults included: it runs again as it stands."""
        return {
            "name": self.name,
            "student": self.student.plain(),
            "alone": None if self.alone is None else self.alone.plain(),
            "teacher": self.teacher,
            "teachers": dict(self.teachers),
            "data": self.data.plain(),
            "task": self.task if isinstance(self.task, str) else self.task.plain(),
            "task_weight": self.task_weight.plain() if isinstance(self.task_weight, Spec) else self.task_weight,
            "terms": {name: term.plain() for name, term in self.terms.items()},
            "deliveries": {name: delivery.plain() for name, delivery in self.deliveries.items()},
            "inherit": dict(self.inherit),
            "algorithm": None if self.algorithm is None else self.algorithm.plain(),
            "optimizer": self.optimizer.plain(),
            "scheduler": None if self.scheduler is None else self.scheduler.plain(),
            "scheduler_interval": self.scheduler_interval,
            "trainer": asdict(self.trainer),
            "seed": self.seed,
        }

    def fingerprint(self) -> str:
        """Eight letters of a hash of all that decides what is learned: a teacher is kept and found again by it."""
        plain = _decisive(self.plain())
        plain["data"]["init_args"] = {k: v for k, v in plain["data"]["init_args"].items() if k not in PLACE_KEYS}
        del plain["name"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]

    def with_seed(self, seed: int) -> Recipe:
        return replace(self, seed=seed)

    def without_teacher(self) -> Recipe:
        """The same training of the student alone, on the task."""
        full = 1.0 if isinstance(self.task_weight, Spec) else self.task_weight or 1.0
        student = self.alone or self.student
        bare = replace(self, teacher=None, teachers={}, terms={}, deliveries={}, inherit={}, algorithm=None)
        return replace(bare, student=student, alone=None, task_weight=full)

    def teacher_recipe(self, name: str = "teacher") -> Recipe:
        """The recipe by which a teacher is trained: its own keys, and of this recipe the place of the data."""
        recipe = _teacher_recipe(cast("Mapping[str, Any]", self.team[name]), self.name, _where(name, self))
        if recipe.data.class_path == self.data.class_path:
            place = {k: self.data.init_args[k] for k in self.data.arguments if k in PLACE_KEYS}
            moved = recipe.data.plain() | {"init_args": {**recipe.data.init_args, **place}}
            recipe = replace(recipe, data=spec("data", moved, home=HOMES["data"]))
        return recipe


def read_recipe(name: str | Path, overrides: Iterable[str] = (), *, teacher: str | None = None) -> Recipe:
    """A recipe from its file, with overrides applied, checked.

    What the teacher's section does not say it takes from the file as written: an override without ``teacher.`` in front
    never changes the teacher, only the place of the data (``data.root``) goes for both. ``variant=NAME`` picks one of
    the recipe's variants before anything else is changed.

    Args:
        name: a recipe's name, or the path of a YAML file.
        overrides: ``key=value`` words.
        teacher: what stands for the recipe's teacher: recipe, run folder, checkpoint or weights file; a recipe's model
            with the weights that an override ``teacher.weights=...`` names.

    Raises:
        StillroomError: names the key.
    """
    path = find_recipe(name)
    words = list(overrides)
    try:
        plain = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise StillroomError(f"this is no YAML: {' '.join(str(error).split())}", where=str(path)) from None
    if not isinstance(plain, dict):
        raise StillroomError("a recipe is a mapping", where=str(path), got=type(plain).__name__)
    recipe = cast("dict[str, Any]", plain)
    inherited = {key: recipe[key] for key in SHARED if key in recipe}
    if model := _model_to_load(teacher or recipe.get("teacher"), words):
        recipe["teacher"], teacher = model, None
    recipe["teacher"] = _inheriting(inherited, recipe.get("teacher"))
    if isinstance(several := recipe.get("teachers"), dict):
        named = cast("dict[str, Any]", several)
        recipe["teachers"] = {each: _inheriting(inherited, section) for each, section in named.items()}
    recipe, words = chosen(recipe, words, name=path.stem)
    if teacher is not None:
        recipe["teacher"] = _replaced(recipe.get("teacher"), teacher)
        kept = tuple(f"teacher.{key}" for key in team.SEAT_KEYS)
        lost = [word for word in words if word.startswith("teacher") and not word.startswith(kept)]
        if lost and recipe["teacher"] == teacher:
            raise StillroomError("-t stands in the place of the recipe's teacher", where=f"-o {lost[0]}", got=teacher)
    return checked(overridden(recipe, words), name=path.stem)


def checked(plain: Mapping[str, Any], *, name: str) -> Recipe:
    """The parts of a recipe, each checked against the signature of what it builds.

    Raises:
        StillroomError: an unknown key, a missing one, a value of the wrong type; names the key.
    """
    expect_known("recipe", plain, KEYS)
    for key in ("student", "data", "optimizer", "trainer"):
        if plain.get(key) is None:
            raise StillroomError("this key is missing", where=key)
    name = sections.name(str(plain.get("name") or name))

    def complete(section: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        own = _teacher_recipe(section, name, where).plain()
        return {key: own[key] for key in SHARED}

    alone, scheduler, interval = plain.get("alone"), plain.get("scheduler"), plain.get("scheduler_interval", "epoch")
    if interval not in ("epoch", "step"):
        raise StillroomError(
            "unknown interval", where="scheduler_interval", expected="epoch or step", got=repr(interval)
        )
    recipe = Recipe(
        name=name,
        student=spec("student", plain["student"], home=HOMES["student"]),
        alone=None if alone is None else spec("alone", alone, home=HOMES["alone"]),
        teacher=team.teacher(plain.get("teacher"), "teacher", complete),
        teachers=team.teachers(plain, complete),
        data=spec("data", plain["data"], home=HOMES["data"]),
        task=sections.task(plain.get("task", "cross_entropy")),
        task_weight=weight("task_weight", plain.get("task_weight", 1.0)),
        terms=term_specs(plain.get("terms")),
        deliveries=sections.deliveries(plain.get("deliveries")),
        inherit=sections.inherit(plain.get("inherit"), taught=bool(plain.get("teacher") or plain.get("teachers"))),
        algorithm=sections.algorithm(plain.get("algorithm")),
        optimizer=spec("optimizer", plain["optimizer"], home=HOMES["optimizer"], skip=("params",)),
        scheduler=None
        if scheduler is None
        else spec("scheduler", scheduler, home=HOMES["scheduler"], skip=("optimizer",)),
        scheduler_interval=interval,
        trainer=sections.settings(plain["trainer"]),
        seed=sections.seed(plain.get("seed", 0)),
    )
    if not recipe.terms and not recipe.algorithm and recipe.task_weight == 0:
        raise StillroomError("there is nothing to learn from: no terms, and no task loss", where="task_weight", got=0)
    return recipe


def _decisive(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without what the trainers of a recipe and its teachers look at before they train."""
    inner = {key: _decisive(cast("Mapping[str, Any]", v)) if isinstance(v, Mapping) else v for key, v in plain.items()}
    if "trainer" in inner:
        inner["trainer"].pop("check", None)
        if inner["trainer"].get("total_batch") is None:
            inner["trainer"].pop("total_batch", None)
    return inner


def _model_to_load(teacher: object, words: Iterable[str]) -> dict[str, Any] | None:
    """The section of a teacher that another recipe describes and a file has the weights of."""
    loads = any(word.startswith("teacher.weights=") for word in words)
    if not loads or not isinstance(teacher, str) or not is_recipe(teacher):
        return None
    return {"model": read_recipe(teacher).student.plain()}


def _replaced(section: object, teacher: str) -> Mapping[str, Any] | str:
    """``-t``: weights of the recipe's own teacher model where it is a bare file, else another model altogether."""
    bare = Path(teacher).suffix in WEIGHTS and is_bare(Path(teacher))
    if bare and isinstance(section, Mapping) and "model" in section:
        return {**cast("Mapping[str, Any]", section), "weights": teacher}
    return teacher


def _inheriting(inherited: dict[str, Any], section: Any) -> Any:
    """A teacher that is trained takes what it does not say from the recipe."""
    trained = isinstance(section, dict) and "model" in section
    return inherited | cast("dict[str, Any]", section) if trained else section


def _teacher_recipe(section: Mapping[str, Any], name: str, where: str) -> Recipe:
    plain = {key: section[key] for key in SHARED if key in section}
    try:
        return checked({**plain, "student": section["model"]}, name=name)
    except StillroomError as error:
        raise error.at(where) from None


def _where(name: str, recipe: Recipe) -> str:
    return "teacher" if recipe.teacher is not None else f"teachers.{name}"
