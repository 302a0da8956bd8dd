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

from stillroom.algorithms import Algorithm, task_loss
from stillroom.deliveries import Delivery
from stillroom.distillers import Term
from stillroom.errors import StillroomError
from stillroom.files import read_text
from stillroom.recipes import find_recipe
from stillroom.runs.build import Spec, expect_known, mapping, number, spec
from stillroom.runs.overrides import DELIVERIES, HOMES, overridden
from stillroom.runs.settings import TrainerSettings
from stillroom.runs.terms import TermSpec, term_specs
from stillroom.runs.variants import chosen

SHARED = ("data", "task", "optimizer", "scheduler", "scheduler_interval", "trainer", "seed")
KEYS = ("name", "student", "alone", "teacher", *SHARED, "task_weight", "terms", "deliveries", "inherit", "algorithm")
TEACHER_KEYS = ("model", "weights", "check", *SHARED)
SHARED_BY_ALGORITHMS = ("distiller", "optimizer", "scheduler", "scheduler_interval", "task", "task_weight")
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
        data: the data module.
        task: ``"cross_entropy"``, or a loss module.
        task_weight: of the task loss.
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
    data: Spec
    task: Spec | str
    task_weight: float
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
        return {name: term.make() for name, term in self.terms.items()}

    def make_deliveries(self) -> dict[str, Delivery]:
        return {name: cast("Delivery", delivery.make()) for name, delivery in self.deliveries.items()}

    @property
    def distils(self) -> bool:
        """Whether anything comes from a teacher, or from terms on the student alone."""
        return bool(self.terms or self.deliveries or self.algorithm)

    def make_task(self) -> str | nn.Module:
        return self.task if isinstance(self.task, str) else cast("nn.Module", self.task.make())

    def plain(self) -> dict[str, Any]:
        """The whole recipe as YAML holds it, defaults included: it runs again as it stands."""
        return {
            "name": self.name,
            "student": self.student.plain(),
            "alone": None if self.alone is None else self.alone.plain(),
            "teacher": self.teacher,
            "data": self.data.plain(),
            "task": self.task if isinstance(self.task, str) else self.task.plain(),
            "task_weight": self.task_weight,
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
        plain = self.plain()
        plain["data"]["init_args"] = {k: v for k, v in plain["data"]["init_args"].items() if k not in PLACE_KEYS}
        del plain["name"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]

    def with_seed(self, seed: int) -> Recipe:
        return replace(self, seed=seed)

    def without_teacher(self) -> Recipe:
        """The same training of the student alone, on the task."""
        weight, student = self.task_weight or 1.0, self.alone or self.student
        bare = replace(self, teacher=None, terms={}, deliveries={}, inherit={}, algorithm=None)
        return replace(bare, student=student, alone=None, task_weight=weight)

    def teacher_recipe(self) -> Recipe:
        """The recipe by which the teacher is trained: its own keys, and of this recipe the place of the data."""
        recipe = _teacher_recipe(cast("Mapping[str, Any]", self.teacher), self.name)
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
        teacher: what stands for the recipe's teacher: recipe, run folder, checkpoint or weights file.

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
    section = recipe.get("teacher")
    if isinstance(section, dict):
        inherited = {key: recipe[key] for key in SHARED if key in recipe}
        recipe["teacher"] = inherited | cast("dict[str, Any]", section)
    recipe, words = chosen(recipe, words, name=path.stem)
    recipe = overridden(recipe, words)
    if teacher is not None:
        recipe["teacher"] = _replaced(recipe.get("teacher"), teacher)
        lost = [word for word in words if word.startswith("teacher")]
        if lost and recipe["teacher"] == teacher:
            raise StillroomError("-t stands in the place of the recipe's teacher", where=f"-o {lost[0]}", got=teacher)
    return checked(recipe, name=path.stem)


def checked(plain: Mapping[str, Any], *, name: str) -> Recipe:
    """The parts of a recipe, each checked against the signature of what it builds.

    Raises:
        StillroomError: an unknown key, a missing one, a value of the wrong type; names the key.
    """
    expect_known("recipe", plain, KEYS)
    for key in ("student", "data", "optimizer", "trainer"):
        if plain.get(key) is None:
            raise StillroomError("this key is missing", where=key)
    name = _name(str(plain.get("name") or name))
    alone, scheduler, interval = plain.get("alone"), plain.get("scheduler"), plain.get("scheduler_interval", "epoch")
    if interval not in ("epoch", "step"):
        raise StillroomError(
            "unknown interval", where="scheduler_interval", expected="epoch or step", got=repr(interval)
        )
    recipe = Recipe(
        name=name,
        student=spec("student", plain["student"], home=HOMES["student"]),
        alone=None if alone is None else spec("alone", alone, home=HOMES["alone"]),
        teacher=_teacher(plain.get("teacher"), name),
        data=spec("data", plain["data"], home=HOMES["data"]),
        task=_task(plain.get("task", "cross_entropy")),
        task_weight=number("task_weight", plain.get("task_weight", 1.0)),
        terms=term_specs(plain.get("terms")),
        deliveries=_deliveries(plain.get("deliveries")),
        inherit=_inherit(plain.get("inherit"), plain.get("teacher")),
        algorithm=_algorithm(plain.get("algorithm")),
        optimizer=spec("optimizer", plain["optimizer"], home=HOMES["optimizer"], skip=("params",)),
        scheduler=None
        if scheduler is None
        else spec("scheduler", scheduler, home=HOMES["scheduler"], skip=("optimizer",)),
        scheduler_interval=interval,
        trainer=_settings(plain["trainer"]),
        seed=_seed(plain.get("seed", 0)),
    )
    if not recipe.terms and not recipe.algorithm and recipe.task_weight == 0:
        raise StillroomError("there is nothing to learn from: no terms, and no task loss", where="task_weight", got=0)
    return recipe


def _deliveries(given: object) -> dict[str, Spec]:
    sections = mapping("deliveries", given)
    found = {name: spec(f"deliveries.{name}", section, home=DELIVERIES) for name, section in sections.items()}
    for name, delivery in found.items():
        if not isinstance(delivery.make(), Delivery):
            raise StillroomError("this is no delivery", where=f"deliveries.{name}", got=delivery.class_path)
    return found


def _algorithm(given: object) -> Spec | None:
    if given is None:
        return None
    found = spec("algorithm", given, home=HOMES["algorithm"], skip=SHARED_BY_ALGORITHMS)
    if not (isinstance(found.target, type) and issubclass(found.target, Algorithm)):
        raise StillroomError("this is no algorithm", where="algorithm", got=found.class_path)
    return found


def _inherit(given: object, teacher: object) -> dict[str, str]:
    parts = mapping("inherit", given)
    for path, origin in parts.items():
        if not isinstance(origin, str):
            expected = "the path of a module of the teacher"
            raise StillroomError("this is no module", where=f"inherit.{path}", expected=expected, got=repr(origin))
    if parts and teacher is None:
        raise StillroomError("there is no teacher to inherit from", where="inherit", got=parts)
    return parts


def _replaced(section: object, teacher: str) -> Mapping[str, Any] | str:
    """``-t``: weights of the recipe's own teacher model where it is a bare file, else another model altogether."""
    bare = (
        Path(teacher).suffix in (".safetensors", ".pt", ".pth") and not Path(teacher).with_name("model.json").exists()
    )
    if bare and isinstance(section, Mapping) and "model" in section:
        return {**cast("Mapping[str, Any]", section), "weights": teacher}
    return teacher


def _settings(given: object) -> TrainerSettings:
    section = {"class_path": "stillroom.runs.settings.TrainerSettings", "init_args": mapping("trainer", given)}
    return cast("TrainerSettings", spec("trainer", section, home="").make())


def _task(given: Any) -> Spec | str:
    if not isinstance(given, str) or "." in given or given[:1].isupper():
        return spec("task", given, home=HOMES["task"])
    task_loss(given)  # refuses a name that it does not know
    return given


def _teacher(given: object, name: str) -> Mapping[str, Any] | str | None:
    """The section, complete: what it does not say must not come from elsewhere when the recipe is read again."""
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        expected = "null, a mapping, or a recipe, run folder, checkpoint or weights file"
        raise StillroomError("this is no teacher", where="teacher", expected=expected, got=repr(given))
    section = cast("Mapping[str, Any]", given)
    expect_known("teacher", section, TEACHER_KEYS)
    weights, check = section.get("weights"), section.get("check", True)
    if not isinstance(check, bool):
        raise StillroomError("this must be true or false", where="teacher.check", got=repr(check))
    own = {"model": spec("teacher.model", section.get("model"), home=HOMES["model"]).plain(), "weights": weights}
    if weights is None:
        plain = _teacher_recipe(section, name).plain()
        return {**own, "check": check, **{key: plain[key] for key in SHARED}}
    if not isinstance(weights, str):
        raise StillroomError("this must be a path or an address", where="teacher.weights", got=repr(weights))
    return {**section, **own, "check": check}


def _teacher_recipe(section: Mapping[str, Any], name: str) -> Recipe:
    plain = {key: section[key] for key in SHARED if key in section}
    try:
        return checked({**plain, "student": section["model"]}, name=name)
    except StillroomError as error:
        raise error.at("teacher") from None


def _name(given: str) -> str:
    if Path(given).name != given:  # it becomes the name of a folder
        raise StillroomError("this cannot be a recipe's name", where="name", expected="no slashes", got=repr(given))
    return given


def _seed(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < 2**62:
        raise StillroomError("this must be a whole number from 0", where="seed", got=repr(given))
    return given
