"""A model as the graph of ``torch.export``: runs in PyTorch without the model's own code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from stillroom.errors import StillroomError
from stillroom.export.parity import Compare, Runner, checked, parity, same_values, shipped
from stillroom.files import whole_file

__all__ = ["traced", "write_exported_program"]


def write_exported_program(
    model: nn.Module, path: Path | str, *, example: Tensor, tolerance: float = 1e-4, compare: Compare = same_values
) -> float:
    """Write a model's graph for any batch size, load it back, and compare the answers of the two.

    Read it with ``torch.export.load(path).module()``.

    Args:
        model: left as it is.
        path: the file, ``.pt2``; written whole or not at all.
        example: (N, ...), a batch of real samples; the file keeps none of them.
        tolerance: as in ``parity``.
        compare: likewise.

    Returns:
        The largest absolute difference of the answers.

    Raises:
        StillroomError: for a model that cannot be traced or answers that differ.
    """
    model = shipped(model)
    with whole_file(path, suffix=".pt2") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(traced(model, example), temporary)
        reread = cast("Runner", torch.export.load(temporary).module())
        return parity(model, reread, example, tolerance=tolerance, compare=compare)


def traced(model: nn.Module, example: Tensor) -> ExportedProgram:
    """The graph of a model on the CPU in evaluation mode, with a free batch size.

    Raises:
        StillroomError: for a model whose graph depends on its values or on the batch size.
    """
    # Zeros, since a program keeps its example; two of them, since a batch of one would fix the batch size.
    blank = checked(example).new_zeros(2, *example.shape[1:], device="cpu")
    try:
        program = torch.export.export(model, (blank,), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:  # the tracer has dozens of kinds
        raise StillroomError(
            f"{type(model).__name__} cannot be traced with a free batch size",
            got=" ".join(str(error).split())[:300],
            fix="A forward pass that branches on values, or has a batch size written into it, has no single graph; "
            "safetensors keeps the weights of any model.",
        ) from error
    # The tracer notes the lines of source, with the folders of this machine: nothing that belongs into a shipped file.
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program
