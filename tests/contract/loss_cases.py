"""How each loss is built and sampled: one entry per loss; a loss with no arguments needs none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import loss_references
import loss_references_features
import loss_references_logits
import loss_references_relations
import torch
from loss_samples import (
    BY_READS,
    Sample,
    Sampler,
    Tree,
    fitted,
    leaves,
    logit_maps,
    logits,
    maps,
    masked,
    sides,
    unlike,
    vectors,
)
from torch import Tensor, nn

from stillroom import losses

REFERENCES = (loss_references, loss_references_features, loss_references_logits, loss_references_relations)


@dataclass(frozen=True)
class Case:
    """Args:
    variants: arguments of the constructor; the first is the one that the loss's facts speak of.
    samplers: what to feed it, where its channels are those that a variant is built for; none means by
        ``facts.reads``.
    trained: which of the teacher's tensors are trained through the loss; the others get no gradient.
    """

    variants: tuple[dict[str, Any], ...] = ({},)
    samplers: tuple[Sampler, ...] = ()
    trained: tuple[int, ...] = ()


# Vectors of one width, and what has nothing in common but the batch.
SAMPLES = (vectors, unlike((2, 2, 3), (5,)))
# Channels that differ, in maps of fewer positions than channels.
CHANNELS = unlike((3, 2, 2), (5, 2, 2))

CASES: dict[str, Case] = {
    "ActivationBoundary": Case(variants=({}, {"margin": 0.25})),
    "AttentionTransfer": Case(variants=({}, {"p": 1}, {"p": 3}), samplers=(CHANNELS, maps)),
    "CWD": Case(variants=({}, {"tau": 4.0}, {"tau": 0.5})),
    "CorrelationCongruence": Case(samplers=(vectors,)),
    "CurriculumTemperature": Case(variants=({}, {"start": 0.5, "end": 3.0})),
    "DIST": Case(variants=({}, {"tau": 4.0}, {"tau": 2.0, "inter": 0.5, "intra": 3.0})),
    "DKD": Case(variants=({}, {"tau": 1.0, "alpha": 0.5, "beta": 2.0})),
    "FBKD": Case(
        variants=({}, {"feature": 1.0, "channels": 0.5, "space": 2.0, "relation": 3.0}),
        samplers=(masked,),
        trained=(3,),
    ),
    "FactorTransfer": Case(variants=({}, {"p": 2}, {"p": 1.5})),
    "HierarchicalContext": Case(samplers=(unlike((2, 6, 5), (2, 6, 5)), maps, unlike((2, 2, 7), (2, 2, 7)))),
    "KDSVD": Case(variants=({}, {"k": 2}, {"k": 9})),
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
    "MultiLevelKD": Case(variants=({}, {"taus": (0.5, 3.0)})),
    "NST": Case(samplers=(CHANNELS, maps)),
    "OFAKD": Case(variants=({}, {"eps": 1.5}, {"eps": 0.5})),
    "PKD": Case(
        variants=({}, {"resize": "teacher"}),
        samplers=(maps, unlike((2, 3, 4), (2, 3, 2)), sides(((2, 4, 4), (3, 2, 2)), ((2, 2, 3), (3, 2, 2)))),
    ),
    "PKT": Case(variants=({}, {"eps": 1e-2}), samplers=SAMPLES),
    "RKDAngle": Case(samplers=SAMPLES),
    "RKDDistance": Case(samplers=SAMPLES),
    "SRD": Case(variants=({}, {"exponent": 2}, {"exponent": 1.5}), samplers=(vectors,)),
    "SimilarityPreserving": Case(samplers=SAMPLES),
    "SoftLabel": Case(
        variants=({}, {"teacher_temperature": 2.0}, {"teacher_temperature": 3.0, "student_temperature": 1.5})
    ),
    "SphericalKD": Case(variants=({}, {"multiplier": 2.5})),
    "StandardizedKL": Case(variants=({}, {"tau": 0.5})),
    "VID": Case(
        variants=(
            {"student_channels": 3, "teacher_channels": 3},
            {"student_channels": 4, "teacher_channels": 2, "init_variance": 0.5, "eps": 0.1},
        ),
        samplers=(maps, unlike((3, 4, 2), (3, 2, 3)), unlike((4, 3, 2), (2, 3, 2))),
    ),
    "VirtualTeacher": Case(variants=({}, {"correct": 0.99, "tau": 1.5})),
    "WSLD": Case(variants=({}, {"tau": 4.0})),
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
    trained: tuple[int, ...] = ()

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
            torch.manual_seed(0)
            return self.kind(**{**self.arguments, **changed}).double()

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
        Subject(kind, function_of(kind), reference, fitted(sampler, operands), arguments, case.trained)
        for arguments in (case.variants[:1] if first_only else case.variants)
        for sampler in case.samplers or BY_READS[kind.facts.reads]
        if _has_channels(sampler, arguments)
    ]


def _has_channels(sampler: Sampler, arguments: dict[str, Any]) -> bool:
    """Whether it draws what a loss with those arguments is built for."""
    sample = sampler(torch.Generator(), 1)
    channels = {"student_channels": sample.student, "teacher_channels": sample.teacher}
    drawn = {name: leaves(side)[0].shape[1] for name, side in channels.items()}
    return all(arguments.get(name, count) == count for name, count in drawn.items())


def _file_of(kind: type[nn.Module]) -> str:
    return kind.__module__.rpartition(".")[2]
