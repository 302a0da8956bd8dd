"""Recipes: YAML in, checked parts out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from torch import nn

from stillroom.distillers import Schedule, Term
from stillroom.errors import StillroomError, did_you_mean
from stillroom.recipes import find_recipe
from stillroom.runs.build import Spec, spec
from stillroom.runs.overrides import HOMES, overridden
from stillroom.runs.settings import TrainerSettings

SHARED = ("data", "task", "optimizer", "scheduler", "scheduler_interval", "trainer", "seed")
KEYS = ("name", "student", "teacher", *SHARED, "task_weight", "terms")
TEACHER_KEYS = ("model", "weights", "check", *SHARED)
TERM_KEYS = ("loss", "student", "teacher", "connector", "teacher_connector", "extra", "weight")
PLACE_KEYS = ("root", "num_workers")
"""Arguments of a data module that say where the data lies and how it is read, not what it is."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; nothing in it is built yet.

    Attributes:
        name: of the recipe.
        student: the model to train.
        teacher: a mapping of a teacher's keys, a recipe, run folder, checkpoint or weights file by name, or None.
        data: the data module.
        task: ``"cross_entropy"``, or a loss module.
        task_weight: of the task loss.
        terms: the terms' sections, by name.
        optimizer: made with the parameters.
        scheduler: made with the optimizer, or None.
        scheduler_interval: whether it steps by epoch or by optimizer step.
        trainer: how long and on what.
        seed: of weights, order and augmentation.
    """

    name: str
    student: Spec
    teacher: Mapping[str, Any] | str | None
    data: Spec
    task: Spec | str
    task_weight: float
    terms: Mapping[str, Mapping[str, Any]]
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
        return {name: _term(f"terms.{name}", section) for name, section in self.terms.items()}

    def make_task(self) -> str | nn.Module:
        return self.task if isinstance(self.task, str) else cast("nn.Module", self.task.make())

    def plain(self) -> dict[str, Any]:
        """The whole recipe as YAML holds it, defaults included: it runs again as it stands."""
        return {
            "name": self.name,
            "student": self.student.plain(),
            "teacher": self.teacher,
            "data": self.data.plain(),
            "task": self.task if isinstance(self.task, str) else self.task.plain(),
            "task_weight": self.task_weight,
            "terms": {name: dict(section) for name, section in self.terms.items()},
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

    def teacher_recipe(self) -> Recipe:
        """The recipe by which the teacher is trained: its own keys, and of this recipe the place of the data."""
        section = dict(cast("Mapping[str, Any]", self.teacher))
        plain = {key: section[key] for key in SHARED if key in section}
        plain |= {"name": self.name, "student": section.get("model"), "task_weight": 1.0}
        try:
            recipe = checked(plain, name=self.name)
        except StillroomError as error:
            raise error.at("teacher") from None
        if recipe.data.class_path == self.data.class_path:
            place = {k: v for k, v in self.data.arguments.items() if k in PLACE_KEYS}
            moved = {**recipe.data.init_args, **place}, {**recipe.data.arguments, **place}
            recipe = replace(recipe, data=replace(recipe.data, init_args=moved[0], arguments=moved[1]))
        return recipe


def read_recipe(name: str | Path, overrides: Iterable[str] = (), *, teacher: str | None = None) -> Recipe:
    """A recipe from its file, with overrides applied, checked.

    What the teacher's section does not say it takes from the file as written: an override without ``teacher.`` in front
    never changes the teacher, only the place of the data (``data.root``) goes for both.

    Args:
        name: a recipe's name, or the path of a YAML file.
        overrides: ``key=value`` words.
        teacher: what stands for the recipe's teacher: recipe, run folder, checkpoint or weights file.

    Raises:
        StillroomError: names the key.
    """
    path = find_recipe(name)
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StillroomError(f"this is no YAML: {' '.join(str(error).split())}", where=str(path)) from None
    if not isinstance(plain, dict):
        raise StillroomError("a recipe is a mapping", where=str(path), got=type(plain).__name__)
    recipe = cast("dict[str, Any]", plain)
    section = recipe.get("teacher")
    if isinstance(section, dict):
        inherited = {key: recipe[key] for key in SHARED if key in recipe}
        recipe["teacher"] = inherited | cast("dict[str, Any]", section)
    recipe = overridden(recipe, overrides)
    if teacher is not None:
        recipe["teacher"] = _replaced(recipe.get("teacher"), teacher)
    return checked(recipe, name=path.stem)


def checked(plain: Mapping[str, Any], *, name: str) -> Recipe:
    """The parts of a recipe, each checked against the signature of what it builds.

    Raises:
        StillroomError: an unknown key, a missing one, a value of the wrong type; names the key.
    """
    _known("recipe", plain, KEYS)
    for key in ("student", "data", "optimizer", "trainer"):
        if plain.get(key) is None:
            raise StillroomError("this key is missing", where=key)
    teacher = plain.get("teacher")
    if isinstance(teacher, Mapping):
        _known("teacher", cast("Mapping[str, Any]", teacher), TEACHER_KEYS)
    scheduler, task = plain.get("scheduler"), plain.get("task", "cross_entropy")
    is_class = not isinstance(task, str) or "." in task or task[:1].isupper()
    interval = plain.get("scheduler_interval", "epoch")
    if interval not in ("epoch", "step"):
        raise StillroomError(
            "unknown interval", where="scheduler_interval", expected="epoch or step", got=repr(interval)
        )
    return Recipe(
        name=str(plain.get("name") or name),
        student=spec("student", plain["student"], home=HOMES["student"]),
        teacher=cast("Mapping[str, Any] | str | None", teacher),
        data=spec("data", plain["data"], home=HOMES["data"]),
        task=spec("task", task, home=HOMES["task"]) if is_class else task,
        task_weight=_number("task_weight", plain.get("task_weight", 1.0)),
        terms=_terms(plain.get("terms")),
        optimizer=spec("optimizer", plain["optimizer"], home=HOMES["optimizer"], skip=("params",)),
        scheduler=None
        if scheduler is None
        else spec("scheduler", scheduler, home=HOMES["scheduler"], skip=("optimizer",)),
        scheduler_interval=interval,
        trainer=_settings(plain["trainer"]),
        seed=int(_number("seed", plain.get("seed", 0))),
    )


def _replaced(section: object, teacher: str) -> Mapping[str, Any] | str:
    """``-t``: weights of the recipe's own teacher model where it is a bare file, else another model altogether."""
    bare = (
        Path(teacher).suffix in (".safetensors", ".pt", ".pth") and not Path(teacher).with_name("model.json").exists()
    )
    if bare and isinstance(section, Mapping) and "model" in section:
        return {**cast("Mapping[str, Any]", section), "weights": teacher}
    return teacher


def _settings(given: object) -> TrainerSettings:
    section = {"class_path": "stillroom.runs.settings.TrainerSettings", "init_args": given}
    return cast("TrainerSettings", spec("trainer", section, home="").make())


def _terms(given: object) -> dict[str, dict[str, Any]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise StillroomError("terms is a mapping from names to terms", where="terms", got=repr(given))
    terms: dict[str, dict[str, Any]] = {}
    for name, section in cast("Mapping[str, Any]", given).items():
        where = f"terms.{name}"
        if not isinstance(section, Mapping) or "loss" not in section:
            raise StillroomError("a term is a mapping with at least a loss", where=where, got=repr(section))
        _known(where, cast("Mapping[str, Any]", section), TERM_KEYS)
        terms[name] = dict(cast("Mapping[str, Any]", section))
        _term(where, terms[name])  # a wrong term is found now, not after the teacher was trained
    return terms


def _term(where: str, section: Mapping[str, Any]) -> Term:
    try:
        return Term(
            spec(f"{where}.loss", section["loss"], home=HOMES["loss"]).make(),
            student=section.get("student"),
            teacher=section.get("teacher"),
            connector=_connector(f"{where}.connector", section.get("connector")),
            teacher_connector=_connector(f"{where}.teacher_connector", section.get("teacher_connector")),
            extra=section.get("extra"),
            weight=_weight(f"{where}.weight", section.get("weight", 1.0)),
        )
    except StillroomError as error:
        raise error if str(error.where).startswith(where) else error.at(where) from None


def _connector(where: str, given: Any) -> Any:
    if given is None or given == "auto":
        return given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [_connector(f"{where}.{index}", part) for index, part in enumerate(cast("Sequence[Any]", given))]
    return spec(where, given, home=HOMES["connector"]).make()


def _weight(where: str, given: Any) -> float | Schedule:
    if isinstance(given, Mapping) or (isinstance(given, str) and given[:1].isalpha()):
        return spec(where, given, home=HOMES["weight"]).make()
    return _number(where, given)


def _number(where: str, given: Any) -> float:
    try:
        if isinstance(given, bool):
            raise TypeError
        return float(given)
    except (TypeError, ValueError):
        raise StillroomError("this must be a number", where=where, got=repr(given)) from None


def _known(where: str, section: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in section:
        if key not in keys:
            raise StillroomError(f"unknown key {key!r}", where=where, fix=did_you_mean(str(key), keys))
