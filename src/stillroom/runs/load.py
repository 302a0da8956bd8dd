"""From a run folder, a checkpoint or a model file back to a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from stillroom.errors import StillroomError
from stillroom.export import ModelCard, read_plain
from stillroom.models import load_weights
from stillroom.recorders import expect_model
from stillroom.runs.build import spec
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.folder import home_of, is_bare, read_config

PRETRAINED = {"weights": None, "pretrained": False}
"""Arguments that would fetch weights only to have them overwritten."""

KINDS = "a run folder, a checkpoint in one, or a model file with its model.json"
"""What a model is loaded from."""


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        folder: the run folder that it belongs to.
        weights: the file with its weights.
        card: what its ``model.json`` says, or, for a checkpoint of a run that has not ended, its ``config.yaml``.
    """

    folder: Path
    weights: Path
    card: ModelCard


def load(source: str | Path, model: nn.Module | None = None) -> nn.Module:
    """The trained model of a run folder, of a checkpoint in it, or of a model file, on the CPU in eval mode.

    Args:
        source: a run folder, a ``.ckpt`` in one, or a file of weights.
        model: takes the weights; needed for a model that was given as an object, which no class path describes.

    Raises:
        StillroomError: there is nothing to load, ``model`` is needed, or the weights are another model's.
    """
    if model is not None:
        expect_model(model, "model")
    path = Path(source)
    if model is not None and path.is_file():
        weights = path
    else:
        found = find_source(path)
        weights, model = found.weights, model if model is not None else rebuild(found.card, str(path))
    if weights.suffix == ".ckpt":
        read_checkpoint(weights)
    load_weights(model, weights)
    return model.eval()


def find_source(source: str | Path) -> Source:
    """What a run folder, a checkpoint or a model file says about its model.

    Raises:
        StillroomError: it is none of these.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / "model.json").is_file():
            raise _no_model(path)
        card = read_plain(path)
        return Source(path, card.weights, card)
    if not path.is_file():
        raise StillroomError("there is no such file or folder", where=str(source), expected=KINDS)
    folder, names = home_of(path)
    if is_bare(path):
        raise StillroomError(
            "nothing says which model these weights belong to",
            where=str(path),
            expected=f"{' or '.join(names)} in {folder.resolve()}",
            fix="Name a run folder or a file in one; in Python pass the model: load(file, model).",
        )
    return Source(folder, path, _card(folder, path))


def rebuild(card: ModelCard, where: str) -> nn.Module:
    """The model that a card describes, untrained.

    Raises:
        StillroomError: the card describes none.
    """
    if card.class_path is None:
        raise StillroomError(
            "this model was given as an object, which no class path describes",
            where=where,
            fix="Pass a model of the same kind to take the weights: load(folder, model).",
        )
    arguments = card.init_args or {}
    arguments |= {name: value for name, value in PRETRAINED.items() if name in arguments}
    parts = {"class_path": card.class_path, "init_args": arguments, "dict_kwargs": card.extra.get("dict_kwargs")}
    return spec(where, parts, home="stillroom.models").make()


def _card(folder: Path, weights: Path) -> ModelCard:
    if (folder / "model.json").is_file():
        return read_plain(folder)
    config = read_config(folder)
    student: Any = config["student"]
    extra = {"data": config.get("data"), "name": config.get("name"), "dict_kwargs": student.get("dict_kwargs")}
    return ModelCard(student.get("class_path"), student.get("init_args"), weights, extra)


def _no_model(folder: Path) -> StillroomError:
    inner = sorted(path.parent.name for path in folder.glob("*/model.json"))
    fix = f"It is a comparison; name one of its runs: {', '.join(inner)}." if inner else ""
    for last in (folder / "checkpoints" / "last.ckpt", folder / "last.ckpt"):
        if last.is_file():
            fix = f"Name a checkpoint: {last}."
    return StillroomError("this folder holds no trained model", where=str(folder), expected="model.json", fix=fix)
