"""How each connector is built and fed, and what it must give: at least one entry for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stillroom import connectors

Tree = Any
"""A shape, or a sequence of shapes where the connector takes or gives a tuple; the same of tensors."""


@dataclass(frozen=True)
class Case:
    """Args:
    arguments: of the constructor, as YAML has them.
    have: shape of the input for a batch of 2, or a list of shapes.
    want: shape of the output, or a list of shapes.
    finish: what is done to a new module before it can be used.
    also: further methods that take the same input, for what ``forward`` does not use.
    """

    arguments: dict[str, Any]
    have: Tree
    want: Tree
    finish: Callable[[Any], Any] = field(default=lambda module: module)
    also: tuple[str, ...] = ()


def _norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3).requires_grad_(False)
    norm.weight.copy_(torch.tensor([0.5, 1.0, 0.0]))
    norm.bias.copy_(torch.tensor([0.3, -0.2, -0.1]))
    return norm


def _fitted(module: nn.Module) -> None:
    module.fit(_norm())


def _met(module: nn.Module) -> None:
    module.meet(nn.Sequential(nn.Conv2d(2, 3, 1), _norm()))


FBKD = [(2, 4, 5, 6), (2, 4), (2, 1, 5, 6), (2, 4, 5, 6), (2, 1, 5, 6), (2, 4, 1, 1)]

CASES: dict[str, tuple[Case, ...]] = {
    "AttentionFusion": (
        Case(
            {"in_channels": [3, 4, 6], "out_channels": [5, 8, 7], "sizes": [[8, 6], 3, 1]},
            [(2, 3, 8, 6), (2, 4, 4, 3), (2, 6)],
            [(2, 5, 8, 6), (2, 8, 3, 3), (2, 7, 1, 1)],
        ),
        Case(
            {"in_channels": [3, 4], "out_channels": [5, 8], "mid_channels": 2},
            [(2, 3, 7, 6), (2, 4, 4, 3)],
            [(2, 5, 7, 6), (2, 8, 4, 3)],
        ),
    ),
    "Conv1x1": (Case({"in_channels": 3, "out_channels": 5}, (2, 3, 4, 6), (2, 5, 4, 6)),),
    "ConvNormAct": (
        Case({"in_channels": 3, "out_channels": 5}, (2, 3, 4, 6), (2, 5, 4, 6)),
        Case(
            {"in_channels": 3, "out_channels": 5, "kernel_size": 3, "stride": 2, "norm": None, "activation": "gelu"},
            (2, 3, 5, 6),
            (2, 5, 3, 3),
        ),
        Case(
            {"in_channels": 3, "out_channels": 5, "kernel_size": 2, "stride": 2, "padding": 1, "activation": "relu"},
            (2, 3, 4, 6),
            (2, 5, 3, 4),
        ),
    ),
    "ConvRegressor": (
        Case({"in_channels": 3, "out_channels": 5, "in_size": 8, "out_size": 4}, (2, 3, 8, 8), (2, 5, 4, 4)),
        Case({"in_channels": 3, "out_channels": 5, "in_size": [4, 6], "out_size": [8, 6]}, (2, 3, 4, 6), (2, 5, 8, 6)),
        Case(
            {"in_channels": 3, "out_channels": 5, "in_size": [7, 8], "out_size": [5, 4], "activation": None},
            (2, 3, 7, 8),
            (2, 5, 5, 4),
        ),
    ),
    "Embed": (
        Case({"in_features": 24, "dim": 5}, (2, 3, 4, 2), (2, 5)),
        Case({"in_features": 6}, (2, 6), (2, 128)),
        Case({"in_features": 3, "dim": 5, "pool": True}, (2, 3, 4, 2), (2, 5)),
    ),
    "FBKDStudent": (Case({"channels": 4, "reduction": 2, "pool": 2}, (2, 4, 5, 6), FBKD),),
    "FBKDTeacher": (Case({"channels": 4, "reduction": 3, "pool": 1}, (2, 4, 5, 6), FBKD),),
    "Identity": (Case({}, (2, 3, 4, 6), (2, 3, 4, 6)), Case({}, (2, 3), (2, 3))),
    "Item": (Case({"index": 0}, [(2, 3, 4, 6)], (2, 3, 4, 6)), Case({"index": -1}, [(2, 3)], (2, 3))),
    "Linear": (
        Case({"in_features": 3, "out_features": 5}, (2, 3), (2, 5)),
        Case({"in_features": 3, "out_features": 5}, (2, 7, 3), (2, 7, 5)),
    ),
    "MapToTokens": (
        Case({"prefix": 2}, (2, 3, 4, 6), (2, 26, 3)),
        Case({}, (2, 3, 4, 6), (2, 24, 3)),
    ),
    "MaskedGeneration": (
        Case({"in_channels": 3, "out_channels": 5, "mask_ratio": 0.5}, (2, 3, 4, 6), (2, 5, 4, 6)),
        Case({"in_channels": 3, "out_channels": 3, "mask_ratio": 0, "per": "channel"}, (2, 3, 4, 6), (2, 3, 4, 6)),
    ),
    "OFDMargin": (
        Case({"channels": 3}, (2, 3, 4, 6), (2, 3, 4, 6), finish=_fitted),
        Case({"channels": 3, "batch_norm": "1"}, (2, 3, 4, 6), (2, 3, 4, 6), finish=_met),
    ),
    "Paraphraser": (Case({"in_channels": 6, "factor_channels": 3}, (2, 6, 4, 5), (2, 3, 4, 5), also=("reconstruct",)),),
    "Pool": (
        Case({}, (2, 3, 4, 6), (2, 3)),
        Case({}, (2, 7, 3), (2, 3)),
        Case({"size": [2, 3]}, (2, 3, 5, 6), (2, 3, 2, 3)),
    ),
    "Resize": (
        Case({"size": [7, 3]}, (2, 3, 4, 6), (2, 3, 7, 3)),
        Case({"scale": 2, "mode": "nearest"}, (2, 3, 4, 6), (2, 3, 8, 12)),
        Case({"scale": 0.1}, (2, 3, 4, 6), (2, 3, 1, 1)),
    ),
    "SelfBranch": (
        Case({"in_channels": 3, "out_channels": 12, "num_classes": 5}, (2, 3, 9, 7), [(2, 12), (2, 5)]),
        Case({"in_channels": 3, "out_channels": 3, "num_classes": 5}, (2, 3, 4, 4), [(2, 3), (2, 5)]),
    ),
    "SimKDProjector": (
        Case({"in_channels": 3, "out_channels": 6, "factor": 2}, (2, 3, 4, 5), (2, 6, 4, 5)),
        Case({"in_channels": 3, "out_channels": 5, "factor": 5}, (2, 3, 4, 5), (2, 5, 4, 5)),
    ),
    "Standardize": (Case({}, (2, 3, 4, 6), (2, 3, 4, 6)), Case({"eps": 1e-3}, (2, 3), (2, 3))),
    "TokensToMap": (
        Case({}, (2, 18, 3), (2, 3, 4, 4)),
        Case({"prefix": 1, "grid": [2, 3]}, (2, 7, 3), (2, 3, 2, 3)),
    ),
    "Translator": (Case({"in_channels": 4, "factor_channels": 3}, (2, 4, 4, 5), (2, 3, 4, 5)),),
}


@dataclass(frozen=True)
class Subject:
    """One connector in one case."""

    kind: Callable[..., nn.Module]
    case: Case

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.case.arguments.items())
        return f"{self.kind.__name__}({shown}) {self.case.have}"

    def build(self) -> nn.Module:
        """In float64 and evaluation mode; no parameter is left at a start that blocks the gradient, such as zero."""
        torch.manual_seed(0)
        module = self.kind(**self.case.arguments)
        self.case.finish(module)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.rand_like(parameter) * 0.3 + 0.1)
        return module.double().eval()

    def draw(self, n: int = 2) -> Tree:
        generator = torch.Generator().manual_seed(1)
        return mapped(
            lambda shape: torch.randn((n, *shape[1:]), generator=generator, dtype=torch.float64), self.case.have
        )

    def want(self, n: int = 2) -> Tree:
        return mapped(lambda shape: (n, *shape[1:]), self.case.want)


def is_group(tree: Tree) -> bool:
    return isinstance(tree, list) or (isinstance(tree, tuple) and not isinstance(tree[0], int))


def mapped(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Of each shape or tensor; a group of them becomes a tuple."""
    return tuple(function(item) for item in tree) if is_group(tree) else function(tree)


def leaves(tree: Tree) -> Sequence[Tensor]:
    return tuple(tree) if is_group(tree) else (tree,)


def connector_classes() -> list[type[nn.Module]]:
    public = [getattr(connectors, name) for name in connectors.__all__]
    return [item for item in public if inspect.isclass(item) and issubclass(item, nn.Module)]


def cases_of(kind: type[nn.Module]) -> tuple[Case, ...]:
    return CASES.get(kind.__name__, ())


def subjects(*, first_only: bool = False) -> list[Subject]:
    return [
        Subject(kind, case)
        for kind in connector_classes()
        for case in (cases_of(kind)[:1] if first_only else cases_of(kind))
    ]
