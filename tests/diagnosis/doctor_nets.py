"""Small networks for the doctor, some of them ill."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distiller, Term
from stillroom.diagnosis import Examination, examine


class Net(nn.Module):
    """Images (N, 3, 4, 4) to logits (N, 5)."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))


class Twice(Net):
    """Its norm runs twice."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.head(self.norm(self.conv(x)).mean((2, 3)))


class Restless(Net):
    """Counts its calls in a buffer, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return super().forward(x)


class Numb(nn.Module):
    """A loss of which nobody gets a gradient."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student.detach() - teacher).square().mean()


class Flat(nn.Module):
    """A loss that is 0 wherever one looks."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student * 0).sum()


class Steep(nn.Module):
    """A loss whose gradient is not finite where it is 0."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student * 0).sum().sqrt()


class Contrary(nn.Module):
    """Cross entropy with the sign turned."""

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        return -F.cross_entropy(student, labels)


def batch(count: int = 16, *, mean: float = 0.0, std: float = 1.0) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return {"inputs": torch.randn(count, 3, 4, 4, generator=draws) * std + mean, "labels": torch.arange(count) % 5}


def cross_entropy(output: Tensor, context: Any) -> Tensor:
    return F.cross_entropy(output, context["labels"])


def experienced(net: Net, *, scale: float = 1.0) -> Net:
    """The network with running statistics of such batches, and logits of some size."""
    with torch.no_grad():
        net.head.weight *= scale
        net.norm.momentum = None
        net.train()(batch(256)["inputs"])
    net.norm.momentum = 0.1
    return net.eval()


def distiller(terms: dict[str, Term], *, student: nn.Module | None = None, teacher: Any = None) -> Distiller:
    torch.manual_seed(0)
    student = Net(4) if student is None else student
    made = Distiller(student, experienced(Net(6), scale=4.0) if teacher is None else teacher, terms=terms)
    made.prepare(batch()["inputs"], labels=batch()["labels"])
    return made


def findings(made: Distiller, given: dict[str, Tensor] | None = None, **options: Any) -> list[str]:
    options = {"task": cross_entropy, **options}
    found: Examination = examine(made, batch() if given is None else given, **options)
    return [str(finding) for finding in found.findings]
