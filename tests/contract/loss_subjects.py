"""One loss, built in one way and fed in one way: what the contract's checks are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import loss_references
import loss_references_contrastive
import loss_references_detection
import loss_references_features
import loss_references_logits
import loss_references_relations
import loss_references_yolo
import torch
from loss_cases import CASES, Case
from loss_samples import BY_READS, Sample, Sampler, Tree, fitted, leaves
from torch import Tensor, nn

from stillroom import losses

REFERENCES = (
    loss_references,
    loss_references_contrastive,
    loss_references_detection,
    loss_references_features,
    loss_references_logits,
    loss_references_relations,
    loss_references_yolo,
)


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
    case: Case = field(default_factory=Case)

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        shapes = dict.fromkeys(_shown(side) for side in self.draw().sides)
        return f"{self.kind.__name__}({shown}) {' and '.join(shapes)}"

    @property
    def facts(self) -> losses.Facts:
        return self.kind.facts

    @property
    def holds(self) -> bool:
        """Whether the formula holds something constant that depends on its inputs, as its reference knows."""
        return "fixed" in inspect.signature(self.reference).parameters

    @property
    def scalar(self) -> bool:
        return self.arguments.get("reduction") != "none"

    def build(self, **changed: Any) -> nn.Module:
        """Of a loss that learns, every copy starts with the same weights."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(0)
            loss = self.kind(**{**self.arguments, **changed}).double()
            if self.case.aged is not None:
                self.case.aged(loss)
            return loss

    def draw(self, seed: int = 0, n: int = 3) -> Sample:
        return self.sampler(torch.Generator().manual_seed(seed), n)


def _shown(side: Tree) -> str:
    return " ".join("x".join(map(str, leaf.shape)) for leaf in leaves(side))


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
    found = getattr(losses, _file_of(kind), None)
    return found if inspect.isfunction(found) else None


def reference_of(kind: type[nn.Module]) -> Callable[..., Any] | None:
    return next((vars(module)[_file_of(kind)] for module in REFERENCES if _file_of(kind) in vars(module)), None)


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
    operands = inspect.signature(kind.forward).parameters
    return [
        Subject(kind, function_of(kind), reference, fitted(sampler, operands), arguments, case)
        for arguments in (case.variants[:1] if first_only else case.variants)
        for sampler in _samplers_of(case, arguments) or BY_READS[kind.facts.reads]
        if _has_channels(sampler, arguments)
    ]


def _samplers_of(case: Case, arguments: dict[str, Any]) -> tuple[Sampler, ...]:
    return case.samplers(arguments) if callable(case.samplers) else case.samplers


def _has_channels(sampler: Sampler, arguments: dict[str, Any]) -> bool:
    """Whether it draws what a loss with those arguments is built for."""
    sample = sampler(torch.Generator(), 1)
    drawn = {"student": sample.student, "teacher": sample.teacher}
    return all(width(arguments, name) in (None, leaves(side)[0].shape[1]) for name, side in drawn.items())


def width(arguments: dict[str, Any], side: str) -> int | None:
    """The channels that a loss with those arguments is built for, if it is."""
    return arguments.get(f"{side}_channels", arguments.get(f"{side}_dim"))


def _file_of(kind: type[nn.Module]) -> str:
    return kind.__module__.rpartition(".")[2]
