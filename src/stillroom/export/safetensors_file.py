"""The plain weights of a model in the safetensors format."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export.parity import Compare, parity, same_values, shipped
from stillroom.files import whole_file
from stillroom.models.weights import load_weights

__all__ = ["save_tensors", "write_safetensors"]


def write_safetensors(
    model: nn.Module, path: Path | str, *, example: Tensor, tolerance: float = 1e-4, compare: Compare = same_values
) -> float:
    """Write a model's weights, read them into an emptied copy of it, and compare the answers of the two.

    Args:
        model: left as it is.
        path: the file, ``.safetensors``; written whole or not at all.
        example: (N, ...), a batch of real samples.
        tolerance: as in ``parity``.
        compare: likewise.

    Returns:
        The largest absolute difference of the answers, which should be 0.

    Raises:
        StillroomError: for weights that cannot be written or answers that differ.
    """
    model = shipped(model)
    with whole_file(path, suffix=".safetensors") as temporary:
        save_tensors(model, temporary)
        emptied = copy.deepcopy(model)
        for tensor in cast("dict[str, Tensor]", emptied.state_dict()).values():
            tensor.zero_()
        load_weights(emptied, temporary)
        return parity(model, emptied, example, tolerance=tolerance, compare=compare)


def save_tensors(model: nn.Module, path: Path) -> None:
    """Write a model's tensors, one copy of those that are tied; the metadata tell their other names.

    Raises:
        StillroomError: for a state that is not made of tensors alone.
    """
    tensors: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, value in cast("dict[str, object]", model.state_dict()).items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise StillroomError("only tensors can be written", where=name, expected="a tensor", got=kind)
        if (kept := seen.setdefault(_memory(value), name)) != name:
            ties[name] = kept
        else:
            # A copy of its own: safetensors refuses tensors that are parts of one another.
            tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    # safetensors makes a file that its owner alone may read; this one gets the rights of any new file.
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata=ties)
    path.chmod(mode)


def _memory(tensor: Tensor) -> tuple[object, ...]:
    if tensor.numel() == 0:
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
