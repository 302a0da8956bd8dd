"""Weights from a file or a web address into a model; nothing in a file is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.download import fetch

__all__ = ["load_weights", "read_weights"]

PICKLED = (".pt", ".pth", ".ckpt")
CONTAINERS = ("state_dict", "model")
STUDENT = "distiller.student."
WRAPPERS = ("module.", "_orig_mod.")


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read the weights of a plain model, on the CPU.

    A ``state_dict`` or ``model`` container is unwrapped; of a checkpoint of a distillation only the student is taken;
    the ``module.`` of data parallelism and the ``_orig_mod.`` of ``torch.compile`` in front of every key are removed.

    Args:
        path: a file .safetensors, .pt, .pth or .ckpt.

    Returns:
        The tensors by their names in the plain model.

    Raises:
        StillroomError: for a file that is missing, damaged, of another kind, holds anything but tensors, or would have
            to run code to be read.
    """
    return _plain(_tensors(Path(path)))


def load_weights(model: nn.Module, source: str | Path) -> None:
    """Load weights into a model, all of them or none.

    Args:
        model: changed in place, and only when everything fits.
        source: a file as in ``read_weights``, or an address as in ``fetch``.

    Raises:
        StillroomError: for a source that cannot be read, or names and shapes that are not the model's.
    """
    path = fetch(source) if isinstance(source, str) and "://" in source else Path(source)
    own = cast("dict[str, Tensor]", model.state_dict())
    tensors = _tensors(path)
    # A model may really have a child called "module", so prefixes go only where the names do not fit as they are.
    if tensors.keys() != own.keys():
        tensors = _plain(tensors)
    try:
        _check_names(own, tensors)
        _check_shapes(own, tensors)
    except StillroomError as error:
        raise error.at(f"{path} into {type(model).__name__}") from None
    model.load_state_dict(tensors)


def _check_names(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    missing = [name for name in own if name not in tensors]
    unknown = [name for name in tensors if name not in own]
    if missing or unknown:
        raise StillroomError(
            "the weights belong to another model",
            expected=f"the model's {len(own)} keys, of which the file lacks {_first(missing)}",
            got=f"{len(tensors)} keys, of which the model lacks {_first(unknown)}",
            fix="Build the model that the file was saved from.",
        )


def _check_shapes(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    different = [name for name in own if own[name].shape != tensors[name].shape]
    if different:
        raise StillroomError(
            f"{len(different)} of {len(own)} tensors have another shape in the file",
            expected=_first([f"{name} {tuple(own[name].shape)}" for name in different]),
            got=_first([f"{name} {tuple(tensors[name].shape)}" for name in different]),
            fix="Build the model with the arguments that the file was made with, such as its num_classes.",
        )


def _first(words: list[str]) -> str:
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "") or "none"


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise StillroomError("there is no such file of weights", where=str(path))
    if path.suffix != ".safetensors" and path.suffix not in PICKLED:
        kinds = ", ".join((".safetensors", *PICKLED))
        raise StillroomError("unknown kind of file", where=str(path), expected=kinds, got=path.suffix or "no suffix")
    try:
        found = _pickled(path) if path.suffix in PICKLED else _safetensors(path)
    except Exception as error:  # a damaged file can raise nearly anything
        raise StillroomError(
            "cannot be read as weights",
            where=str(path),
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="The file is damaged, or holds objects whose code would have to run, which never happens here. "
            "Where you trust it, open it yourself and save its state_dict alone.",
        ) from error
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        kinds = sorted({type(value).__name__ for value in found.values()})
        raise StillroomError("holds no weights", where=str(path), expected="tensors by name", got=kinds or "nothing")
    return cast("dict[str, Tensor]", found)


def _pickled(path: Path) -> Mapping[Any, Any]:
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(loaded, Mapping):
        mapping = cast("Mapping[Any, Any]", loaded)
        inner = next((mapping[key] for key in CONTAINERS if isinstance(mapping.get(key), Mapping)), None)
        if inner is None:
            return mapping
        loaded = inner
    return {"": loaded}


def _safetensors(path: Path) -> Mapping[Any, Any]:
    with cast("Any", safe_open(path, framework="pt")) as file:
        names: list[str] = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
        metadata: dict[str, str] = file.metadata() or {}
    # safetensors keeps one copy of tied tensors, and notes their other names in the metadata.
    return tensors | {name: tensors[kept] for name, kept in metadata.items() if kept in tensors}


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    student = {name.removeprefix(STUDENT): value for name, value in tensors.items() if name.startswith(STUDENT)}
    tensors = student or tensors
    while wrapper := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in tensors)), ""):
        tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors
