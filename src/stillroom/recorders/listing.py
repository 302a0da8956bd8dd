"""Every site of a model, seen in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.patching import Patches
from stillroom.recorders.items import describe
from stillroom.recorders.modules import unwrap


@dataclass(frozen=True)
class SiteInfo:
    """One module of a model as a site.

    Attributes:
        site: its path, to be used as a site string.
        kind: the module's class.
        output: shape of its output, what else it returns, or None where it did not run.
        calls: how often it ran; more than once needs ``@call``.
        parameters: of the module with all inside it.
    """

    site: str
    kind: str
    output: str | None
    calls: int
    parameters: int


@dataclass(frozen=True)
class ParameterInfo:
    """A parameter of a model.

    Attributes:
        path: of :class:`~stillroom.recorders.Parameter`.
        shape: of the parameter.
    """

    path: str
    shape: str


def list_parameters(model: nn.Module) -> list[ParameterInfo]:
    """Every parameter of a model, in the order of definition."""
    return [ParameterInfo(path, _shape(parameter)) for path, parameter in unwrap(model).named_parameters()]


def list_sites(model: nn.Module, *inputs: Any) -> list[SiteInfo]:
    """Every module of a model, in the order of definition, with what it returned for these inputs.

    The model runs once in eval mode without gradients; its modes are as before afterwards.
    """
    model = unwrap(model)
    outputs: dict[str, list[str]] = {}
    with Patches() as patches:
        for path, module in model.named_modules():
            outputs[path] = []
            patches.hook_outputs(module, lambda _m, _a, output, path=path: outputs[path].append(_shape(output)))
        _run(model, inputs)
    return [
        SiteInfo(
            site=path,
            kind=type(module).__name__,
            output=outputs[path][0] if outputs[path] else None,
            calls=len(outputs[path]),
            parameters=sum(parameter.numel() for parameter in module.parameters()),
        )
        for path, module in model.named_modules()
    ]


def _run(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(*inputs)
    finally:
        for module, training in modes:
            module.training = training


def _shape(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else describe(output)
