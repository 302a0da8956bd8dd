"""Looking into a model: what can be read of it, and how it sees samples beside another."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stillroom.data import DataModule
from stillroom.diagnosis import Similarity, similarity
from stillroom.diagnosis.similarity import values_at
from stillroom.errors import StillroomError, did_you_mean
from stillroom.models import timm
from stillroom.programs import TensorInfo, trace
from stillroom.recipes import is_recipe, shipped
from stillroom.recorders import CallInfo, ParameterInfo, SiteInfo, list_calls, list_parameters, list_sites
from stillroom.reports import read_run
from stillroom.runs.build import spec
from stillroom.runs.load import find_source, load
from stillroom.runs.overrides import HOMES
from stillroom.runs.recipe import Recipe, read_recipe
from stillroom.runs.teachers import standing_teachers
from stillroom.runs.train import make_data
from stillroom.runs.use import data_of

DEFAULT_INPUT = (3, 224, 224)
COMPARED = 256


@dataclass(frozen=True)
class Inside:
    """What recorders can read of a model: its modules, the functions and methods that it calls, its parameters."""

    sites: list[SiteInfo]
    calls: list[CallInfo]
    parameters: list[ParameterInfo]


@dataclass(frozen=True)
class Specimen:
    """A model to be looked at.

    Attributes:
        model: itself.
        shape: of one input.
        data: what it is trained on; None where nothing says.
    """

    model: nn.Module
    shape: tuple[int, ...]
    data: DataModule | None


@dataclass(frozen=True)
class Seen:
    """What two models make of one image.

    Attributes:
        image: (C, H, W), as they are given it.
        maps: for each the mean of its squared channels, (h, w), divided by its largest value.
        sites: where.
    """

    image: Tensor
    maps: tuple[Tensor, Tensor]
    sites: tuple[str, str]


def specimen(
    what: str, *, teacher: bool = False, shape: Sequence[int] | None = None, overrides: Iterable[str] = ()
) -> Specimen:
    """Find a model.

    Args:
        what: a recipe, a run folder, checkpoint or model file, a class path, or a model's name in stillroom,
            torchvision or timm.
        teacher: of a recipe take the teacher's model instead of the student's.
        shape: of one input; None for the recipe's or the run's own, else (3, 224, 224).
        overrides: ``key=value`` words for a recipe.

    Raises:
        StillroomError: there is no such model.
    """
    path, words = Path(what), list(overrides)
    if is_recipe(what):
        recipe = read_recipe(what, words)
        data = make_data(recipe)
        model = _teacher_model(recipe) if teacher else recipe.student.make()
        return Specimen(model, tuple(shape or data.input_shape), data)
    if words or teacher:
        raise StillroomError("only a recipe can be changed, or asked for its teacher", where=what, got=words or None)
    if not path.exists():
        return Specimen(_named_model(what), tuple(shape or DEFAULT_INPUT), None)
    source = find_source(what)
    data = None if source.card.extra.get("data") is None else data_of(source, ())
    return Specimen(load(what), tuple(shape or source.card.extra.get("input_shape") or DEFAULT_INPUT), data)


def inspect_model(found: Specimen) -> Inside:
    """What can be read of a model while it runs.

    Raises:
        StillroomError: it does not take such an input.
    """
    model, inputs = found.model, torch.zeros(2, *found.shape)
    try:
        return Inside(list_sites(model, inputs), list_calls(model, inputs), list_parameters(model))
    except (RuntimeError, TypeError, ValueError) as error:
        raise _refused(found, error) from error


def list_tensors(found: Specimen) -> list[TensorInfo]:
    """Every tensor of the model's program.

    Raises:
        StillroomError: it does not take such an input, or cannot be traced.
    """
    try:
        return trace(found.model, torch.zeros(2, *found.shape)).tensors()
    except StillroomError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise _refused(found, error) from error


def own_teacher(what: str, overrides: Iterable[str] = ()) -> nn.Module:
    """The teacher of a recipe, trained if it was before, or of a run.

    Raises:
        StillroomError: there is none.
    """
    if is_recipe(what):
        recipe = read_recipe(what, list(overrides))
        standing = standing_teachers(recipe, make_data(recipe))
        if standing:
            return next(iter(standing.values())).network
    elif Path(what).is_dir():
        folders = [facts.folder for facts in read_run(what).teacher.values() if facts.folder is not None]
        for folder in folders:
            if Path(folder).is_dir():
                return load(folder)
        if folders:
            raise StillroomError(
                "its teacher is not there any more", where=what, got=folders[0], fix="Name it as the other model."
            )
    raise StillroomError("nothing says which teacher", where=what, fix="Name another model to compare it with.")


def compared(found: Specimen, other: nn.Module) -> Similarity:
    """The two layer by layer, on 256 samples of the first one's data, evenly spread.

    Raises:
        StillroomError: there is no data, or one of the models has no layers that can be compared.
    """
    if found.data is None:
        raise StillroomError("there are no samples to compare on", fix="Let the first model be a recipe or a run.")
    batches = [batch["inputs"] for batch in found.data.spread(COMPARED, split=found.data.judged_on)]
    return similarity(found.model, other, batches)


def seen(found: Specimen, other: nn.Module, sites: tuple[str, str], image: str | Path) -> Seen:
    """What the two make of an image file.

    Args:
        found: the first model, whose data says how an image becomes an input.
        other: the second.
        sites: of a map (N, C, H, W) in each.
        image: the file.

    Raises:
        StillroomError: there is no such image or site, or its value is no map.
    """
    if found.data is None:
        raise StillroomError(
            "nothing says how an image becomes an input", fix="Let the first model be a recipe or a run."
        )
    given = found.data.transform_image(image)
    maps = [
        _map(model.eval(), site, given.unsqueeze(0)) for model, site in zip((found.model, other), sites, strict=True)
    ]
    return Seen(given, (maps[0], maps[1]), sites)


def _map(model: nn.Module, site: str, batch: Tensor) -> Tensor:
    value = values_at(model, [site], batch, "model")[site]
    if value.dim() != 4:
        raise StillroomError("only maps can be drawn", where=site, expected="(N, C, H, W)", got=tuple(value.shape))
    strength = value[0].square().mean(0)
    return strength / strength.max().clamp_min(1e-12)


def _teacher_model(recipe: Recipe) -> nn.Module:
    section = recipe.teacher.get("model") if isinstance(recipe.teacher, Mapping) else None
    if section is None:
        raise StillroomError("the recipe names no teacher model", where="teacher", got=repr(recipe.teacher))
    return spec("teacher.model", section, home=HOMES["model"]).make()


def _named_model(name: str) -> nn.Module:
    if "." in name:
        return spec("model", name, home="").make()
    for home in ("stillroom.models", "torchvision.models"):
        if callable(getattr(importlib.import_module(home), name, None)):
            return spec("model", f"{home}.{name}", home=home).make()
    try:
        return timm(name)
    except StillroomError as error:
        if error.where != "name":
            raise
    libraries = [importlib.import_module(each) for each in ("torchvision.models", "timm")]
    own = importlib.import_module("stillroom.models").__all__
    known = [*shipped(), *own, *(each for library in libraries for each in library.list_models())]
    what = f"there is no recipe, run folder, class path, torchvision or timm model {name!r}"
    raise StillroomError(what, fix=did_you_mean(name, known))


def _refused(found: Specimen, error: Exception) -> StillroomError:
    shape = (3, 32, 32) if found.data is None else found.data.input_shape
    return StillroomError(
        f"{type(found.model).__name__} does not take an input of shape (2, {', '.join(map(str, found.shape))})",
        got=" ".join(str(error).split())[:200],
        fix=f"Give the shape of one input: --input {','.join(map(str, shape))}.",
    )
