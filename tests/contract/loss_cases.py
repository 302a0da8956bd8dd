"""How each loss is built and sampled: one entry per loss; a loss with no arguments needs none."""

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
from loss_samples import (
    BY_READS,
    Sample,
    Sampler,
    Tree,
    classified,
    fitted,
    identified,
    leaves,
    logit_maps,
    logits,
    maps,
    masked,
    sides,
    unlike,
    vectors,
    yolo_heads,
)
from loss_samples_detection import boxed, crossing, located
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
class Case:
    """Args:
    variants: arguments of the constructor; the first is the one that the loss's facts speak of.
    samplers: what to feed it, where its channels are those that a variant is built for; none means by
        ``facts.reads``. A function gives those of a variant.
    trained: which of the teacher's tensors are trained through the loss; the others get no gradient.
    aged: brings a loss that remembers to where it is in the midst of training.
    drawn: what a loss draws for a sample, for its reference.
    """

    variants: tuple[dict[str, Any], ...] = ({},)
    samplers: tuple[Sampler, ...] | Callable[[dict[str, Any]], tuple[Sampler, ...]] = ()
    trained: tuple[int, ...] = ()
    aged: Callable[[Any], object] | None = None
    drawn: Callable[[Any, Sample], Tensor] | None = None


def unlike_the_start(loss: nn.Module) -> None:
    """What starts at zero hides what it is multiplied by."""
    for parameter in loss.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)


def after_an_epoch(loss: Any) -> None:
    """A loss with a bank has seen every sample of the set."""
    index = torch.arange(loss.samples)
    student, teacher = (
        torch.randn(len(index), embedding.in_features, dtype=torch.float64)
        for embedding in (loss.student_embedding, loss.teacher_embedding)
    )
    loss(student, teacher, index=index, labels=index % 3)


# Vectors of one width, and what has nothing in common but the batch.
SAMPLES = (vectors, unlike((2, 2, 3), (5,)))
# Channels that differ, in maps of fewer positions than channels.
CHANNELS = unlike((3, 2, 2), (5, 2, 2))

CASES: dict[str, Case] = {
    "ActivationBoundary": Case(variants=({}, {"margin": 0.25})),
    "AttentionTransfer": Case(variants=({}, {"p": 1}, {"p": 3}), samplers=(CHANNELS, maps)),
    "CRD": Case(
        variants=(
            {"student_dim": 3, "teacher_dim": 3, "samples": 9, "dim": 4, "negatives": 5},
            {"student_dim": 4, "teacher_dim": 2, "samples": 12, "negatives": 40, "tau": 0.5, "momentum": 0.9},
        ),
        samplers=tuple(identified(sampler) for sampler in (unlike((3,), (3,)), maps, unlike((4,), (2, 2, 3)))),
        aged=after_an_epoch,
        drawn=lambda loss, sample: loss.draw(sample.context["labels"]),
    ),
    "CrossKD": Case(
        variants=(
            {},
            {"gamma": 2.0, "anchors": 2},
            {"predictions": "distributions", "tau": 2.0},
            {"predictions": "deltas", "anchors": 2},
            {"predictions": "distances"},
        ),
        samplers=crossing,
    ),
    "CWD": Case(variants=({}, {"tau": 4.0}, {"tau": 0.5})),
    "CorrelationCongruence": Case(samplers=(vectors,)),
    "CurriculumTemperature": Case(
        variants=({}, {"start": 0.5, "end": 3.0}, {"warmup_steps": 5}), aged=lambda loss: loss.step.fill_(2)
    ),
    "DIST": Case(variants=({}, {"tau": 4.0}, {"tau": 2.0, "inter": 0.5, "intra": 3.0})),
    "DKD": Case(variants=({}, {"tau": 1.0, "alpha": 0.5, "beta": 2.0})),
    "FBKD": Case(
        variants=({}, {"feature": 1.0, "channels": 0.5, "space": 2.0, "relation": 3.0}),
        samplers=(masked,),
        trained=(3,),
    ),
    "FGD": Case(
        variants=(
            {"channels": 4},
            {"channels": 6, "tau": 0.8, "alpha": 0.02, "beta": 0.03, "gamma": 0.005, "lambda_": 0.0025},
        ),
        samplers=lambda arguments: (boxed(arguments["channels"]),),
        aged=unlike_the_start,
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
    "LocalizationDistillation": Case(variants=({}, {"tau": 2.0}), samplers=located),
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
    "SRRL": Case(variants=({}, {"weight": 0.25}), samplers=(classified(vectors), classified(maps))),
    "SimKD": Case(samplers=(maps, unlike((3, 4, 6), (3, 2, 6)), unlike((3, 4, 2), (3, 2, 4)))),
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
    "YOLOFineGrained": Case(
        variants=(
            {"num_classes": 2},
            {"num_classes": 2, "objectness": "soft"},
            {"num_classes": 2, "nms": True},
            {"num_classes": 9, "objectness": "soft", "nms": True},
        ),
        samplers=(yolo_heads,),
    ),
    "YOLOHeadL2": Case(variants=({"num_classes": 2}, {"num_classes": 9}), samplers=(yolo_heads,)),
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
            torch.manual_seed(0)
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
