"""How each loss is built and sampled: one entry per loss; a loss with no arguments needs none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from loss_samples import (
    Sample,
    Sampler,
    classified,
    identified,
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
            {"student_dim": 4, "teacher_dim": 2, "samples": 12, "dim": 6, "negatives": 11, "tau": 0.5, "momentum": 0.9},
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
    "HierarchicalContext": Case(
        samplers=(
            sides(((2, 5, 3), (3, 2, 2), (4, 1, 1)), ((2, 5, 3), (3, 2, 2), (4, 1, 1))),
            unlike((2, 6, 5), (2, 6, 5)),
            maps,
            unlike((2, 2, 7), (2, 2, 7)),
        )
    ),
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
