"""Offline distillation under Lightning's Trainer."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from stillroom import Between, Distiller, StillroomError, Term, WarmUp
from stillroom.algorithms import Offline
from stillroom.losses import L2, KLDivergence

BATCHES, ROWS = 3, 5

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training.*"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)` is deprecated.*"),
]


class Net(nn.Module):
    """Has statistics that training moves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x)).relu())


class Dict(Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x)}


class Worded(Net):
    def forward(self, *, x: Tensor, scale: Tensor) -> Tensor:
        return super().forward(x * scale)


class Steps(Callback):
    """Notes what each step returned."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self.outputs.append({**outputs, "epoch": trainer.current_epoch})


def sgd(parameters: Iterator[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.1, momentum=0.9)


def batches(labels: bool = True) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(BATCHES, ROWS, 6, generator=generator)
    answers = torch.randint(4, (BATCHES, ROWS), generator=generator)
    index = torch.arange(BATCHES * ROWS).view(BATCHES, ROWS)
    whole = [{"inputs": x, "index": i} for x, i in zip(inputs, index, strict=True)]
    return [batch | {"labels": y} if labels else batch for batch, y in zip(whole, answers, strict=True)]


def make(student: nn.Module | None = None, **terms: Term) -> Distiller:
    torch.manual_seed(0)
    terms = terms or {
        "kl": Term(KLDivergence(tau=4.0), weight=0.5),
        "hint": Term(L2(), student="body", teacher="body", connector="auto"),
    }
    distiller = Distiller(student or Net(5), Net(7), terms=terms)
    distiller.prepare(batches()[0]["inputs"])
    return distiller


def fit(
    algorithm: Offline,
    data: list[dict[str, Tensor]] | None = None,
    *callbacks: Callback,
    epochs: int = 2,
    val: list[dict[str, Tensor]] | None = None,
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
    )
    loaders = [DataLoader(each, batch_size=None) for each in (data or batches(), val) if each]
    trainer.fit(algorithm, *loaders)
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val")}


# The loss, and what is trained


def test_fit_equals_a_loop_of_ones_own() -> None:
    distiller = make()
    by_hand = copy.deepcopy(distiller)
    optimizer = sgd(by_hand.parameters())
    for batch in batches() * 2:
        out = by_hand(batch["inputs"])
        loss = 0.3 * F.cross_entropy(out.output, batch["labels"]) + 0.5 * out.losses["kl"] + out.losses["hint"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fit(Offline(distiller, optimizer=sgd, task_weight=0.3))
    torch.testing.assert_close(distiller.state_dict(), by_hand.state_dict())


def test_a_step_returns_the_loss_its_parts_and_their_weights() -> None:
    distiller, steps = make(), Steps()
    fit(Offline(distiller, optimizer=sgd, task_weight=0.3), None, steps, epochs=1)
    assert len(steps.outputs) == BATCHES
    for output in steps.outputs:
        parts, weights = output["parts"], output["weights"]
        assert parts.keys() == weights.keys() == {"kl", "hint", "task"}
        assert weights == {"kl": 0.5, "hint": 1.0, "task": 0.3}
        assert not any(part.requires_grad for part in parts.values())
        torch.testing.assert_close(output["loss"], sum(weights[name] * part for name, part in parts.items()))


def test_the_teacher_is_the_same_to_the_bit_and_in_no_checkpoint() -> None:
    distiller = make()
    teacher = distiller.teachers["teacher"].network
    before = copy.deepcopy(teacher.state_dict())
    algorithm = Offline(distiller, optimizer=sgd)
    fit(algorithm)
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    assert {name.split(".")[1] for name in algorithm.state_dict()} == {"student", "connectors"}


def test_the_optimizer_gets_student_and_connectors() -> None:
    algorithm = Offline(distiller := make(), optimizer=sgd)
    optimizer = algorithm.configure_optimizers()
    student, connector = distiller.student, distiller.connectors["hint"]
    assert len(optimizer.param_groups[0]["params"]) == len([*student.parameters(), *connector.parameters()]) == 8


@pytest.mark.parametrize(("interval", "rate"), [("epoch", 0.1 * 0.5**2), ("step", 0.1 * 0.5 ** (2 * BATCHES))])
def test_the_schedule_of_the_learning_rate(interval: str, rate: float) -> None:
    algorithm = Offline(
        make(),
        optimizer=sgd,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        scheduler_interval=interval,
    )
    fit(algorithm)
    assert algorithm.optimizers().param_groups[0]["lr"] == pytest.approx(rate)


def test_without_a_teacher_it_trains_the_student_alone() -> None:
    distiller, steps = Distiller(Net(5)), Steps()
    fit(Offline(distiller, optimizer=sgd), None, steps)
    assert [output["parts"].keys() for output in steps.outputs] == [{"task"}] * (2 * BATCHES)
    assert steps.outputs[-1]["loss"] < steps.outputs[0]["loss"]


# The task


def test_without_a_task_no_labels_are_needed() -> None:
    steps = Steps()
    fit(Offline(make(), optimizer=sgd, task_weight=0), batches(labels=False), steps, epochs=1)
    assert all(output["parts"].keys() == {"kl", "hint"} for output in steps.outputs)


def test_a_task_without_labels_is_an_error() -> None:
    message = "task: the task loss needs labels, and the data has none. Set task_weight to 0."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        fit(Offline(make(), optimizer=sgd), batches(labels=False))


def test_a_task_of_ones_own() -> None:
    class Margin(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            return F.multi_margin_loss(logits, labels)

    distiller, steps = make(), Steps()
    student = copy.deepcopy(distiller.student)
    fit(Offline(distiller, optimizer=sgd, task=Margin()), None, steps, epochs=1)
    first = batches()[0]
    expected = F.multi_margin_loss(student.train()(first["inputs"]), first["labels"])
    torch.testing.assert_close(steps.outputs[0]["parts"]["task"], expected.detach())


def test_logits_are_found_in_a_dict() -> None:
    terms = {"kl": Term(KLDivergence(), student="[logits]")}
    metrics = fit(Offline(make(Dict(5), **terms), optimizer=sgd), val=batches())
    assert metrics.keys() == {"val_loss", "val_accuracy"}


@pytest.mark.parametrize("name", ["task", "epoch", "kl_weighted", "kl_share"])
def test_a_name_that_the_metrics_need(name: str) -> None:
    message = f"terms.{name}: this name has a meaning in metrics.csv. Rename it."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Offline(make(**{name: Term(KLDivergence())}), optimizer=sgd)


def test_context_reaches_the_terms() -> None:
    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.index: list[int] = []

        def forward(self, student: Tensor, *, index: Tensor, labels: Tensor) -> Tensor:
            self.index += index.tolist()
            return F.cross_entropy(student, labels)

    loss = Seen()
    fit(Offline(make(seen=Term(loss)), optimizer=sgd, task_weight=0), epochs=1)
    assert loss.index == list(range(BATCHES * ROWS))


def test_inputs_may_be_keywords() -> None:
    def worded(batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {**batch, "inputs": {"x": batch["inputs"], "scale": torch.ones(1)}}

    torch.manual_seed(0)
    data = [worded(batch) for batch in batches()]
    metrics = fit(Offline(Distiller(Worded(5), Worded(7)), optimizer=sgd), data, val=data)
    assert metrics.keys() == {"val_loss", "val_accuracy"}


# The clock


def test_a_term_stops_after_its_epoch() -> None:
    steps = Steps()
    distiller = make(
        kl=Term(KLDivergence()),
        hint=Term(L2(), student="body", teacher="body", connector="auto", weight=Between(1.0, stop=1)),
    )
    fit(Offline(distiller, optimizer=sgd), None, steps)
    by_epoch = [[output["parts"].keys() for output in steps.outputs if output["epoch"] == epoch] for epoch in (0, 1)]
    assert by_epoch == [[{"kl", "hint", "task"}] * BATCHES, [{"kl", "task"}] * BATCHES]


def test_steps_are_counted_over_epochs() -> None:
    steps = Steps()
    distiller = make(kl=Term(KLDivergence(), weight=WarmUp(1.0, duration=4, unit="step")))
    fit(Offline(distiller, optimizer=sgd), None, steps)
    assert [output["weights"]["kl"] for output in steps.outputs] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


# Validation


def test_validation_measures_the_student_over_all_samples() -> None:
    distiller = make()
    val = batches()
    val[2] = {name: value[:2] for name, value in val[2].items()}  # the last batch is smaller
    metrics = fit(Offline(distiller, optimizer=sgd, task_weight=0.3), val=val)
    with torch.no_grad():
        logits = distiller.student.eval()(torch.cat([batch["inputs"] for batch in val])).double().numpy()
    labels = torch.cat([batch["labels"] for batch in val]).numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert metrics["val_loss"] == pytest.approx(-log_p[np.arange(len(labels)), labels].mean(), rel=1e-5)
    assert metrics["val_accuracy"] == pytest.approx((logits.argmax(1) == labels).mean(), rel=1e-6)


def test_validation_without_labels_logs_nothing() -> None:
    data = batches(labels=False)
    assert fit(Offline(make(), optimizer=sgd, task_weight=0), data, val=data, epochs=1) == {}
