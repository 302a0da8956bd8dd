"""A model as a folder of two plain files: the weights, and what it takes to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from stillroom.errors import StillroomError
from stillroom.export.safetensors_file import save_tensors
from stillroom.files import whole_files
from stillroom.models.download import sha256_of

__all__ = ["ModelCard", "read_plain", "write_plain"]

WEIGHTS, CARD = "model.safetensors", "model.json"


@dataclass(frozen=True)
class ModelCard:
    """What a folder says about its model.

    Attributes:
        class_path: import path of the class or function that makes the model; None for one that was given as an object.
        init_args: its arguments; None for a model that was given as an object.
        weights: the file of weights.
        extra: further facts, such as num_classes, class_names, input_shape, role.
    """

    class_path: str | None
    init_args: dict[str, Any] | None
    weights: Path
    extra: dict[str, Any]


def write_plain(
    model: nn.Module,
    folder: Path | str,
    *,
    class_path: str | None,
    init_args: dict[str, Any] | None,
    extra: dict[str, Any],
) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, both or neither.

    Args:
        model: any module; tied tensors are written once.
        folder: made where it is missing; files of these two names in it are replaced.
        class_path: import path of the class or function that makes the model; None for one given as an object.
        init_args: its arguments, of what JSON knows (tuples become lists).
        extra: further facts, of what JSON knows.

    Raises:
        StillroomError: for arguments or facts that JSON does not know, or a folder that cannot be written.
    """
    with whole_files(folder) as temporary:
        save_tensors(model, temporary / WEIGHTS)
        # The sum tells whether the two files still belong together, and a flipped bit.
        card = {"class_path": class_path, "init_args": init_args, "sha256": sha256_of(temporary / WEIGHTS)}
        try:
            text = json.dumps(card | {"extra": extra}, indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            where = str(Path(folder) / CARD)
            fix = "Use numbers, strings, lists and dicts in init_args and extra."
            raise StillroomError("a value has no place in JSON", where=where, got=error, fix=fix) from error
        (temporary / CARD).write_text(text + "\n", encoding="utf-8")


def read_plain(folder: Path | str) -> ModelCard:
    """Read ``model.json`` of a folder, and check that its weights are those that it was written with.

    Raises:
        StillroomError: for a missing or damaged file, or weights that were changed since.
    """
    path, weights = Path(folder) / CARD, Path(folder) / WEIGHTS
    try:
        card = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        read = ModelCard(card["class_path"], card["init_args"], weights, card["extra"])
        written, found = card["sha256"], sha256_of(weights)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StillroomError(
            "no model can be read from the folder",
            where=str(folder),
            expected=f"{CARD} and {WEIGHTS} as stillroom writes them",
            got=f"{type(error).__name__}: {error}",
        ) from error
    if found != written:
        raise StillroomError(
            f"these are not the weights that {CARD} was written for",
            where=str(weights),
            expected=f"sha256 {written}",
            got=found,
            fix="The file was changed or damaged: export the model again, or load the file by itself.",
        )
    return read
