"""Where a recipe's teacher comes from: trained once and kept, a run, a checkpoint, or a file of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from torch import nn

from stillroom.data import DataModule
from stillroom.distillers import Ensemble, Teacher
from stillroom.errors import StillroomError, did_you_mean
from stillroom.models import load_weights
from stillroom.recipes import find_recipe, is_recipe, shipped
from stillroom.runs.assess import assessed
from stillroom.runs.build import spec
from stillroom.runs.folder import RUNS, WEIGHTS, is_finished
from stillroom.runs.job import Trained
from stillroom.runs.load import find_source, load
from stillroom.runs.overrides import HOMES
from stillroom.runs.recipe import Recipe, read_recipe
from stillroom.runs.team import INCLUDED


@dataclass(frozen=True)
class Training:
    """What is done about teachers that are not trained yet.

    Attributes:
        check: of a teacher's recipe and its folder: whether it can be trained.
        rehearse: of all teachers by name, trained or not: whether they can teach the student.
        train: of a teacher's recipe and its folder: train it, or go on where it was stopped.
    """

    check: Callable[[Recipe, Path], object]
    rehearse: Callable[[Mapping[str, nn.Module]], object]
    train: Callable[[Recipe, Path], object]


@dataclass(frozen=True)
class _Found:
    """One teacher: its network, or the recipe by which it is to be trained in the folder."""

    where: str
    section: Mapping[str, Any]
    network: nn.Module | None
    folder: Path | None
    recipe: Recipe | None = None

    def seated(self, network: nn.Module, data: DataModule) -> nn.Module:
        """The network with what it needs to stand beside the student."""
        classes, transform = self.section.get("classes"), self.section.get("transform")
        if classes is None and transform is None:
            return network
        if classes == "by_name":
            classes = _by_name(self.where, self.folder, data)
        made = None if transform is None else spec(f"{self.where}.transform", transform, home=HOMES["connector"]).make()
        return Teacher(network, classes=classes, transform=made)


def trained_teachers(recipe: Recipe, data: DataModule, training: Training) -> dict[str, Trained]:
    """The recipe's teachers by name, trained if need be, evaluated and found better than chance; ensembles of them too.

    Args:
        recipe: whose teachers are wanted.
        data: on whose validation set they are evaluated.
        training: what is done about those that are not trained yet.

    Raises:
        StillroomError: one cannot be found, has other classes than the data, or is no better than chance.
    """
    found = _find_all(recipe)
    _expect_an_end(found.values())
    untrained = [each for each in found.values() if each.recipe is not None and each.folder is not None]
    for each in untrained:
        training.check(cast("Recipe", each.recipe), cast("Path", each.folder))
    if untrained:
        stand_ins = {name: each.seated(_stand_in(each), data) for name, each in found.items()}
        training.rehearse(stand_ins | _ensembles(recipe, stand_ins))
    task = recipe.make_task()
    trained: dict[str, Trained] = {}
    for name, each in found.items():
        network = each.network if each.network is not None else _kept(each, training)
        check, folder = bool(each.section.get("check", True)), each.folder
        seat = each.seated(network, data)
        own = folder if seat is network else None  # its run knows nothing of the classes that it is asked for here
        unchecked = f"{each.where}.check=false"
        trained[name] = assessed(seat, data, task=task, folder=own, check=check, where=each.where, unchecked=unchecked)
    together = _ensembles(recipe, {name: each.network for name, each in trained.items()})
    for name, network in together.items():
        trained[name] = assessed(network, data, task=task, where=f"teachers.{name}")
    return trained


@dataclass(frozen=True)
class Standing:
    """A teacher as it is now.

    Attributes:
        network: with what it needs to stand beside the student.
        trained: whether it is; else the network has learned nothing.
        folder: its run folder, where that speaks of the classes that it is asked for.
        check: whether one that is no better than chance is refused.
        where: its key in the recipe.
    """

    network: nn.Module
    trained: bool
    folder: Path | None
    check: bool
    where: str


def standing_teachers(recipe: Recipe, data: DataModule) -> dict[str, Standing]:
    """The recipe's teachers by name as they are now, ensembles too; nothing is trained, measured or written.

    Raises:
        StillroomError: one cannot be found.
    """
    found = _find_all(recipe)
    _expect_an_end(found.values())
    standing: dict[str, Standing] = {}
    for name, each in found.items():
        network = _stand_in(each)
        seat = each.seated(network, data)
        folder = each.folder if seat is network and each.network is not None else None
        check = bool(each.section.get("check", True))
        standing[name] = Standing(seat, each.network is not None, folder, check, each.where)
    together = _ensembles(recipe, {name: each.network for name, each in standing.items()})
    everybody = all(each.trained for each in standing.values())
    return standing | {
        name: Standing(network, everybody, None, True, f"teachers.{name}") for name, network in together.items()
    }


def _find_all(recipe: Recipe) -> dict[str, _Found]:
    single = {name: section for name, section in recipe.team.items() if not _is_ensemble(section)}
    return {name: _find(recipe, name, section) for name, section in single.items()}


def _expect_an_end(found: Iterable[_Found], chain: Mapping[Path, str] = MappingProxyType({})) -> None:
    """Refuse recipes whose teachers are recipes in turn and lead in a circle, or to nothing, before any is trained."""
    for each in found:
        if each.recipe is None or each.folder is None:
            continue
        if each.folder in chain:
            circle = list(chain)[list(chain).index(each.folder) :]
            raise StillroomError(
                "these recipes are each other's teachers, and none can be trained first",
                where=each.where,
                got=" -> ".join([chain[folder] for folder in circle] + [each.recipe.name]),
                fix="Give the last one another teacher, or null.",
            )
        try:
            further = _find_all(each.recipe)
        except StillroomError as error:
            raise _of(error, f"the recipe {each.recipe.name}") from None
        _expect_an_end(further.values(), {**chain, each.folder: each.recipe.name})


def _find(recipe: Recipe, name: str, section: Mapping[str, Any] | str) -> _Found:
    where = "teacher" if recipe.teacher is not None else f"teachers.{name}"
    if isinstance(section, str):
        section = {"from": section}
    if "from" in section:
        return _named(section["from"], section, where)
    if section["weights"] == INCLUDED:
        return _Found(where, section, spec(f"{where}.model", section["model"], home=HOMES["model"]).make(), None)
    if section["weights"] is not None:
        return _Found(where, section, _weighted(section, where), None)
    return _to_keep(recipe.teacher_recipe(name), section, where)


def _is_ensemble(section: object) -> bool:
    return isinstance(section, Mapping) and "members" in section


def _ensembles(recipe: Recipe, networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, section in recipe.teachers.items():
        if _is_ensemble(section):
            given = cast("Mapping[str, Any]", section)
            options = {key: given[key] for key in ("weights", "tau") if key in given}
            try:
                found[name] = Ensemble([networks[member] for member in given["members"]], **options)
            except StillroomError as error:
                raise error.at(f"teachers.{name}") from None
    return found


def _by_name(where: str, folder: Path | None, data: DataModule) -> list[int]:
    """For each of the data's classes the index of the teacher's class of the same name."""
    known = None if folder is None else find_source(folder).card.extra.get("class_names")
    if known is None:
        fix = "Give the indices: classes: [3, 5, 8]."
        raise StillroomError("nothing says what the teacher's classes are called", where=f"{where}.classes", fix=fix)
    names = [str(name) for name in cast("list[Any]", known)]
    if missing := [name for name in data.class_names if name not in names]:
        raise StillroomError(
            "the teacher does not know all classes of the data",
            where=f"{where}.classes",
            expected=", ".join(data.class_names),
            got=f"none of {', '.join(names)} for {', '.join(missing)}",
        )
    return [names.index(name) for name in data.class_names]


def _stand_in(found: _Found) -> nn.Module:
    return found.network if found.network is not None else cast("Recipe", found.recipe).student.make()


def _weighted(section: Any, where: str) -> nn.Module:
    model = spec(f"{where}.model", section.get("model"), home=HOMES["model"]).make()
    try:
        load_weights(model, section["weights"])
    except StillroomError as error:
        raise _of(error, f"{where}.weights") from None
    return cast("nn.Module", model)


def _named(given: str, section: Mapping[str, Any], where: str) -> _Found:
    path = Path(given)
    if path.is_dir() or path.suffix in WEIGHTS:
        try:
            return _Found(where, section, load(path), path if path.is_dir() else None)
        except StillroomError as error:
            raise _of(error, where) from None
    if is_recipe(given):
        return _to_keep(read_recipe(find_recipe(given, where=where)), section, where)
    raise StillroomError(
        f"there is no teacher {given!r}",
        where=where,
        expected="a recipe, a run folder, a checkpoint or a file of weights",
        fix=did_you_mean(given, shipped()),
    )


def _of(error: StillroomError, key: str) -> StillroomError:
    """The error about a file, with the key that named the file."""
    where = key if error.where is None else f"{key}: {error.where}"
    return StillroomError(error.problem, where=where, expected=error.expected, got=error.got, fix=error.fix)


def _to_keep(recipe: Recipe, section: Mapping[str, Any], where: str) -> _Found:
    """Trained once under ``runs/teachers/<recipe>-<hash>`` and found again there, by any recipe that would train it."""
    home, fingerprint = RUNS / "teachers", recipe.fingerprint()
    folder = next(iter(sorted(home.glob(f"*-{fingerprint}"))), home / f"{recipe.name}-{fingerprint}")
    if is_finished(folder):
        return _Found(where, section, load(folder), folder)
    return _Found(where, section, None, folder, recipe)


def _kept(found: _Found, training: Training) -> nn.Module:
    """Two teachers may be one: it is trained for the first of them."""
    folder = cast("Path", found.folder)
    if not is_finished(folder):
        training.train(cast("Recipe", found.recipe), folder)
    return load(folder)
