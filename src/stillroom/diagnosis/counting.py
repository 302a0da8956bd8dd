"""How large a model is, and what one sample costs it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from stillroom.distillers import call
from stillroom.distillers.scope import untouched
from stillroom.patching import Patches
from stillroom.recorders import unwrap


@dataclass(frozen=True)
class ModelSize:
    """What a model costs.

    Attributes:
        kind: its class.
        parameters: numbers that are learned; tied ones count once.
        multiply_adds: of one forward pass of convolutions, linear layers and attention; None where they cannot be
            counted.
    """

    kind: str
    parameters: int
    multiply_adds: int | None


def model_size(model: nn.Module, *inputs: Any) -> ModelSize:
    """Count a model's parameters and what the inputs cost it in evaluation; it is as before afterwards.

    Args:
        model: any module.
        inputs: of one sample, where the model lies.
    """
    model = unwrap(model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return ModelSize(type(model).__name__, parameters, multiply_adds(model, *inputs))


def multiply_adds(model: nn.Module, *inputs: Any) -> int | None:
    """Half of the floating-point operations of one forward pass.

    Norms, activations and resizing do not count. Nothing is computed where the model runs on shapes alone.

    Args:
        model: any module.
        inputs: of one sample, where the model lies.

    Returns:
        None where the model does not run on them, or where one of its layers has weights and counts nothing, as
        recurrent ones do.
    """
    for fake in (True, False):
        try:
            return _counted(model, inputs, fake=fake)
        except Exception:  # a model whose shapes depend on values does not run on shapes alone
            continue
    return None


def _counted(model: nn.Module, inputs: tuple[Any, ...], *, fake: bool) -> int | None:
    if not fake:
        with untouched(model):
            return _counting(model, inputs)
    # A copy, for a model may keep what it computes, and shapes without numbers are of no use to anybody later.
    twin = copy.deepcopy(model)
    # Where a gradient is wanted, attention does not take its fused path, of which nothing is counted.
    for parameter in twin.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.enable_grad():
        return _counting(twin, tree_map_only(torch.Tensor, mode.from_tensor, inputs))


def _counting(model: nn.Module, inputs: tuple[Any, ...]) -> int | None:
    called: set[str] = set()
    counter = FlopCounterMode(display=False)
    # Not every PyTorch knows what its fused attention on the CPU multiplies.
    with Patches() as patches, counter, sdpa_kernel(SDPBackend.MATH):
        for path, module in model.named_modules():
            patches.hook_inputs(module, lambda *_, path=path: called.add(path))
        call(model.eval(), inputs)
    counts = counter.get_flop_counts()
    for path, module in model.named_modules():
        name = ".".join(filter(None, (type(model).__name__, path)))
        if path in called and _multiplies(module) and not sum(counts.get(name, {}).values()):
            return None
    return counter.get_total_flops() // 2


def _multiplies(module: nn.Module) -> bool:
    """Whether the module has matrices that are not looked up."""
    parts = (part for part in module.modules() if not isinstance(part, nn.Embedding | nn.EmbeddingBag))
    weights = chain.from_iterable(part.parameters(recurse=False) for part in parts)
    return any(weight.dim() >= 2 for weight in weights)
