"""What the tests of data-free distillation share: small networks and a training of a moment."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from stillroom import Distiller, Term
from stillroom.algorithms import DAFL, DFAD, ZSKT
from stillroom.algorithms.data_free import DataFree
from stillroom.losses import L1, AttentionTransfer, KLDivergence
from stillroom.models import DAFLGenerator, SmallCNN, ZSKTGenerator
from stillroom.runs.randomness import StepRandomness

BATCH = 6
KINDS: list[type[DataFree]] = [DAFL, DFAD, ZSKT]
OWN: dict[type[DataFree], dict[str, Any]] = {DAFL: {"feature": "pool"}, DFAD: {}, ZSKT: {}}
TERMS = {
    DAFL: {"kl": Term(KLDivergence(tau=6.0))},
    DFAD: {"l1": Term(L1())},
    ZSKT: {
        "kl": Term(KLDivergence(reduction="mean"), weight=2.0),
        "layer1": Term(AttentionTransfer(), student="layer1", teacher="layer1", weight=250.0),
    },
}


def images(count: int = BATCH, size: int = 8) -> Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(1))


def distiller_for(kind: type[DataFree], teacher: Any = None, **terms: Term) -> Distiller:
    torch.manual_seed(0)
    student, own = SmallCNN(width=2), SmallCNN(width=3)
    for norm in (module for module in own.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1)  # so that eval mode is not train mode
    distiller = Distiller(student, own if teacher is None else teacher, terms=terms or TERMS[kind])
    distiller.prepare(images())
    return distiller


def make(kind: type[DataFree], distiller: Distiller | None = None, *, lr: float = 0.1, **changed: Any) -> DataFree:
    distiller = distiller or distiller_for(kind)
    maker = ZSKTGenerator if kind is ZSKT else DAFLGenerator
    arguments = {
        "generator": maker(image_size=8, latent=5, hidden=4, channels=1),
        "generator_optimizer": lambda parameters: SGD(parameters, lr=lr),
        "optimizer": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
        **OWN[kind],
        **changed,
    }
    return kind(distiller, **arguments)


class Events(Callback):
    """What took a step, in order, and what each batch returned."""

    def __init__(self, algorithm: DataFree) -> None:
        self.order, self.outputs = "", []
        self._step = algorithm.generation.step
        algorithm.generation.step = self._seen

    def _seen(self, loss: Tensor) -> None:
        self.order += "G"
        self._step(loss)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self.order += "S"
        self.outputs.append(outputs)


def fit(algorithm: DataFree, *callbacks: Callback, steps: int = 4, epochs: int = 1, **options: Any) -> None:
    data = [{"inputs": images()} for _ in range(steps)]
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[StepRandomness(0), *callbacks],
        **options,
    )
    trainer.fit(algorithm, DataLoader(data, batch_size=None))
