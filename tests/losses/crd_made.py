"""A small CRD, and what it is fed with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillroom.losses import CRD

SAMPLES = 12
INDEX = torch.tensor([7, 2, 9])
LABELS = INDEX % 3


def features(rows: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(rows, width, generator=draws, dtype=torch.float64) for width in (3, 2))
    return student, teacher


def made(samples: int = SAMPLES, *, dim: int = 4, negatives: int = 6, tau: float = 0.07, momentum: float = 0.5) -> CRD:
    torch.manual_seed(0)
    return CRD(3, 2, samples, dim=dim, negatives=negatives, tau=tau, momentum=momentum).double()


def learned(loss: CRD, index: Tensor = INDEX, seed: int = 0) -> Tensor:
    return loss(*features(len(index), seed), index=index, labels=index % 3)


def embeddings(loss: CRD, seed: int = 0) -> list[Tensor]:
    layers = (loss.student_embedding, loss.teacher_embedding)
    return [nn.functional.normalize(layer(x), dim=1) for layer, x in zip(layers, features(seed=seed), strict=True)]
