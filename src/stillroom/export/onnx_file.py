"""A model as an ONNX graph: runs in onnxruntime and many other places without PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export.exported_program import traced
from stillroom.export.parity import Compare, parity, same_values, shipped
from stillroom.files import whole_file

__all__ = ["write_onnx"]

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# A protobuf ends at 2 GiB; above it the weights go to a second file, NAME.onnx.data.
LARGEST = 1.9e9


def write_onnx(
    model: nn.Module,
    path: Path | str,
    *,
    example: Tensor,
    opset: int | None = None,
    tolerance: float = 1e-4,
    compare: Compare = same_values,
) -> float:
    """Write a model's graph for any batch size, run it in onnxruntime on the CPU, and compare the answers of the two.

    The input is called ``input``; a tensor that comes out is called ``output``, those of a dict by their keys.

    Args:
        model: left as it is.
        path: the file, ``.onnx``; written whole or not at all.
        example: (N, ...), a batch of real samples.
        opset: version of the operators; None for PyTorch's choice.
        tolerance: as in ``parity``.
        compare: likewise.

    Returns:
        The largest absolute difference of the answers.

    Raises:
        StillroomError: where the packages are missing, for a model that has no ONNX graph or answers that differ.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        fix = 'pip install "stillroom[export]"'
        raise StillroomError(f"ONNX needs {', '.join(missing)}, not installed here", fix=fix)
    model = shipped(model)
    with whole_file(path, suffix=".onnx") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write(model, temporary, example, opset=opset)
        return parity(model, partial(_run, temporary), example, tolerance=tolerance, compare=compare)


def _write(model: nn.Module, path: Path, example: Tensor, *, opset: int | None) -> None:
    program = traced(model, example)
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    try:
        torch.onnx.export(
            program,
            f=path,
            input_names=["input"],
            output_names=_output_names(model, example),
            dynamic_shapes=({0: "batch"},),
            opset_version=opset,
            external_data=size > LARGEST,
            verbose=False,
        )
    except Exception as error:
        raise StillroomError(
            "the graph has no translation into ONNX", got=" ".join(str(error).split())[:300]
        ) from error


def _output_names(model: nn.Module, example: Tensor) -> list[str] | None:
    with torch.no_grad():
        output: object = model(example[:1].cpu())
    if isinstance(output, Tensor):
        return ["output"]
    named = cast("Mapping[object, object]", output) if isinstance(output, Mapping) else {}
    return [str(key) for key in named] if all(isinstance(value, Tensor) for value in named.values()) else None


def _run(path: Path, batch: Tensor) -> list[Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    try:
        session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return [torch.from_numpy(value) for value in session.run(None, {"input": batch.numpy()})]
    except Exception as error:
        got = " ".join(str(error).split())[:300]
        raise StillroomError("onnxruntime cannot run the graph, so no file was kept", got=got) from error
