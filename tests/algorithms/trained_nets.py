"""Small networks, batches and trainings for the algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from stillroom.algorithms import Algorithm

BATCHES, ROWS, CLASSES = 4, 5, 4

QUIET = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training.*"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)` is deprecated.*"),
]


class Norm(nn.Module):
    """Has statistics that training moves."""

    def __init__(self, width: int, classes: int = CLASSES) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x)).relu())


class Deep(nn.Module):
    """Another architecture, and another kind of output."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(x)}


def sgd(parameters: Iterator[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.1, momentum=0.9)


def batches(*, labels: bool = True, dtype: torch.dtype = torch.float32) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(BATCHES, ROWS, 6, generator=generator).to(dtype)
    answers = torch.randint(CLASSES, (BATCHES, ROWS), generator=generator)
    whole = [{"inputs": x} for x in inputs]
    return [batch | {"labels": y} if labels else batch for batch, y in zip(whole, answers, strict=True)]


def fit(
    algorithm: Algorithm,
    *callbacks: Callback,
    epochs: int = 2,
    data: list[dict[str, Tensor]] | None = None,
    val: list[dict[str, Tensor]] | None = None,
    **settings: Any,
) -> dict[str, float]:
    """Trains, and returns what validation logged."""
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        **settings,
    )
    loaders = [DataLoader(each, batch_size=None) for each in (data or batches(), val) if each]
    trainer.fit(algorithm, *loaders)
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val")}


class AfterBatch(Callback):
    """Does something where checkpoints are written: after each batch."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.act(trainer, pl_module)
