"""The small sections of a recipe, each checked by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from stillroom.algorithms import Algorithm, task_loss
from stillroom.deliveries import Delivery
from stillroom.errors import StillroomError
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs.build import Spec, mapping, spec
from stillroom.runs.overrides import DELIVERIES, HOMES

LARGEST_SEED = 2**62 - 1
SHARED_BY_ALGORITHMS = ("distiller", "optimizer", "scheduler", "scheduler_interval", "task", "task_weight")


def deliveries(given: object) -> dict[str, Spec]:
    sections = mapping("deliveries", given)
    found = {name: spec(f"deliveries.{name}", section, home=DELIVERIES) for name, section in sections.items()}
    for name, delivery in found.items():
        if not isinstance(delivery.make(), Delivery):
            raise StillroomError("this is no delivery", where=f"deliveries.{name}", got=delivery.class_path)
    return found


def algorithm(given: object) -> Spec | None:
    if given is None:
        return None
    found = spec("algorithm", given, home=HOMES["algorithm"], skip=SHARED_BY_ALGORITHMS)
    if not (isinstance(found.target, type) and issubclass(found.target, Algorithm)):
        raise StillroomError("this is no algorithm", where="algorithm", got=found.class_path)
    return found


def inherit(given: object, *, taught: bool) -> dict[str, str]:
    """Paths of the student's modules to those of the teacher's; there must be a teacher then."""
    parts = mapping("inherit", given)
    for path, origin in parts.items():
        if not isinstance(origin, str):
            expected = "the path of a module of the teacher"
            raise StillroomError("this is no module", where=f"inherit.{path}", expected=expected, got=repr(origin))
    if parts and not taught:
        raise StillroomError("there is no teacher to inherit from", where="inherit", got=parts)
    return parts


def settings(given: object) -> TrainerSettings:
    section = {"class_path": "stillroom.recipes.trainer.TrainerSettings", "init_args": mapping("trainer", given)}
    return cast("TrainerSettings", spec("trainer", section, home="").make())


def task(given: Any) -> Spec | str:
    if not isinstance(given, str) or "." in given or given[:1].isupper():
        return spec("task", given, home=HOMES["task"])
    task_loss(given)  # refuses a name that it does not know
    return given


def name(given: str) -> str:
    if Path(given).name != given:  # it becomes the name of a folder
        raise StillroomError("this cannot be a recipe's name", where="name", expected="no slashes", got=repr(given))
    return given


def seed(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= LARGEST_SEED:
        raise StillroomError(f"this must be a whole number from 0 to {LARGEST_SEED}", where="seed", got=repr(given))
    return given
