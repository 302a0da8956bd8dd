"""How each loss is built and sampled: one entry per loss; a loss with no arguments and no context needs none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import loss_references
import torch
from loss_samples import BY_READS, Sample, Sampler, leaves, logit_maps, logits
from torch import Tensor, nn

from stillroom import losses


@dataclass(frozen=True)
class Case:
    """Args:
    variants: arguments of the constructor; the first is the one that the loss's facts speak of.
    samplers: what to feed it; none means by ``facts.reads``.
    """

    variants: tuple[dict[str, Any], ...] = ({},)
    samplers: tuple[Sampler, ...] = ()


CASES: dict[str, Case] = {
    "AttentionTransfer": Case(variants=({}, {"p": 1}, {"p": 3})),
    "KLDivergence": Case(
        variants=(
            {},
            {"tau": 4.0},
            {"tau": 2.5, "reduction": "mean"},
            {"tau": 0.5, "reduction": "sum"},
            {"tau": 2.0, "reduction": "none"},
        ),
        samplers=(logits, logit_maps),
    ),
    "L1": Case(variants=({}, {"reduction": "sum"})),
    "L2": Case(
        variants=(
            {},
            {"normalize": True},
            {"normalize": True, "reduction": "batchmean"},
            {"reduction": "sum"},
            {"reduction": "none"},
        )
    ),
    "SoftLabel": Case(
        variants=({}, {"teacher_temperature": 2.0}, {"teacher_temperature": 3.0, "student_temperature": 1.5})
    ),
}


@dataclass(frozen=True)
class Subject:
    """One loss, built in one way and fed in one way, with what it must equal.

    ``function`` is None for a loss that learns: what it computes is in the module alone.
    """

    kind: type[nn.Module]
    function: Callable[..., Tensor] | None
    reference: Callable[..., Any]
    sampler: Sampler
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        shapes = " ".join("x".join(map(str, leaf.shape)) for leaf in leaves(self.draw().teacher))
        return f"{self.kind.__name__}({shown}) {shapes}"

    @property
    def facts(self) -> losses.Facts:
        return self.kind.facts

    @property
    def scalar(self) -> bool:
        return self.arguments.get("reduction") != "none"

    def build(self, **changed: Any) -> nn.Module:
        return self.kind(**{**self.arguments, **changed}).double()

    def draw(self, seed: int = 0, n: int = 3) -> Sample:
        return self.sampler(torch.Generator().manual_seed(seed), n)


def loss_classes() -> list[type[nn.Module]]:
    public = [getattr(losses, name) for name in losses.__all__]
    return [item for item in public if inspect.isclass(item) and issubclass(item, nn.Module)]


def arguments_of(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """A loss without a constructor of its own has nothing to set."""
    return dict(inspect.signature(kind).parameters) if "__init__" in vars(kind) else {}


def case_of(kind: type[nn.Module]) -> Case:
    return CASES.get(kind.__name__, Case())


def function_of(kind: type[nn.Module]) -> Callable[..., Tensor] | None:
    """The function beside a loss is named like their file, and so is the reference."""
    return getattr(losses, _file_of(kind), None)


def reference_of(kind: type[nn.Module]) -> Callable[..., Any] | None:
    return getattr(loss_references, _file_of(kind), None)


def missing(kind: type[nn.Module]) -> list[str]:
    """What the contract wants of a loss and does not find."""
    if not isinstance(getattr(kind, "facts", None), losses.Facts):
        return ["facts"]
    learns = bool(kind(**case_of(kind).variants[0]).state_dict())
    found = {"reference": reference_of(kind), "function": learns or function_of(kind)}
    return [part for part, value in found.items() if not value]


def subjects(*, first_only: bool = False) -> list[Subject]:
    """Every loss, in every variant and with every sampler, or only as its facts speak of it."""
    return [subject for kind in loss_classes() if not missing(kind) for subject in _subjects_of(kind, first_only)]


def _subjects_of(kind: type[nn.Module], first_only: bool) -> list[Subject]:
    case = case_of(kind)
    reference = reference_of(kind)
    assert reference is not None
    return [
        Subject(kind, function_of(kind), reference, sampler, arguments)
        for arguments in (case.variants[:1] if first_only else case.variants)
        for sampler in case.samplers or BY_READS[kind.facts.reads]
    ]


def _file_of(kind: type[nn.Module]) -> str:
    return kind.__module__.rpartition(".")[2]
