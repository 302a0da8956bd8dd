"""Models with the habits that exporting has to survive."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Named(nn.Module):
    """A dict comes out, not in the order of its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        feature = self.body(x).relu()
        return {"logits": self.head(feature), "feature": feature}


class Pair(Named):
    """A nested tuple comes out."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        named = super().forward(x)
        return named["logits"], (named["feature"], x * 2)


class Tied(nn.Module):
    """Words in and out share one matrix, and one buffer is a part of another."""

    table: Tensor
    row: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("table", torch.arange(6.0).view(2, 3))
        self.register_buffer("row", self.table[1])

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens) + self.row + self.table.sum(0))


class Changed(nn.Module):
    """Behaves differently once it is a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + float(torch.compiler.is_exporting())


class Branching(Changed):
    """Its path depends on the values."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


class FixedBatch(Changed):
    """Its graph depends on the batch size."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.fc(row) for row in x])


class Random(Changed):
    """Draws noise, even in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + torch.rand(len(x), 2)
