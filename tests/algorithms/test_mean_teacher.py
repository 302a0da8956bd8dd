"""The mean teacher: how it follows the student, and that nothing else moves it."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn
from trained_nets import QUIET, AfterBatch, Norm, batches, fit, sgd

from stillroom import Distiller, StillroomError, Term
from stillroom.algorithms import MeanTeacher, Offline
from stillroom.losses import L2, KLDivergence

pytestmark = QUIET


def make(student: nn.Module | None = None, **options: object) -> MeanTeacher:
    torch.manual_seed(0)
    student = student or Norm(5)
    terms = {"kl": Term(KLDivergence(tau=2.0)), "hint": Term(L2(), student="body", teacher="body")}
    return MeanTeacher(Distiller(student, MeanTeacher.teachers_for(student), terms=terms), optimizer=sgd, **options)


def test_other_algorithms_make_no_teacher() -> None:
    assert Offline.teachers_for(Norm(5)) == {}


@pytest.mark.parametrize(
    ("warmup", "decays"),
    [
        (True, [1 / 2, 2 / 3, 3 / 4, 0.79, 0.79, 0.79, 0.79, 0.79]),
        (False, [0.79] * 8),
    ],
)
def test_it_follows_each_step(warmup: bool, decays: list[float]) -> None:
    """θ' = α θ' + (1 − α) θ, done before checkpoints are written; buffers are the student's."""
    algorithm = make(decay=0.79, warmup=warmup)
    average, student = algorithm.average, algorithm.student
    expected = {name: value.double().clone() for name, value in average.named_parameters()}
    left = iter(decays)

    def look(*_: object) -> None:
        decay = next(left)
        for name, value in student.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach().double()
        for name, value in average.named_parameters():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
        for (name, own), theirs in zip(average.named_buffers(), student.buffers(), strict=True):
            assert torch.equal(own, theirs), name

    fit(algorithm, AfterBatch(look))
    assert next(left, None) is None
    assert average.norm.running_mean.abs().sum() > 0


def test_it_is_the_mean_of_all_weights_in_the_beginning() -> None:
    algorithm = make()
    seen = [algorithm.student.head.bias.detach().clone()]
    fit(algorithm, AfterBatch(lambda *_: seen.append(algorithm.student.head.bias.detach().clone())))
    torch.testing.assert_close(algorithm.average.head.bias, torch.stack(seen).mean(0))


def test_accumulated_batches_are_one_step() -> None:
    algorithm = make(decay=0.5)
    steps: list[int] = []
    follow = algorithm.follow
    algorithm.follow = lambda step: (steps.append(step), follow(step))
    fit(algorithm, accumulate_grad_batches=2)
    assert steps == [1, 2, 3, 4]


def test_nothing_trains_it() -> None:
    algorithm = make()
    assert not any(parameter.requires_grad for parameter in algorithm.average.parameters())
    own = {id(parameter) for parameter in algorithm.average.parameters()}
    assert not own & {id(p) for group in algorithm.make_optimizer().param_groups for p in group["params"]}
    fit(algorithm)
    assert not any(module.training for module in algorithm.average.modules())


def test_the_student_learns_from_it() -> None:
    """With decay 0 the teacher is the student of the step before, but for the statistics that this one uses."""
    algorithm = make(decay=0.0, warmup=False)
    by_hand, teacher = copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.average)
    optimizer = sgd(by_hand.parameters())
    for batch in batches() * 2:
        inside = by_hand.body(batch["inputs"])
        logits = by_hand.head(by_hand.norm(inside).relu())
        with torch.no_grad():
            hint, soft = teacher.body(batch["inputs"]), teacher(batch["inputs"])
        loss = nn.functional.cross_entropy(logits, batch["labels"]) + (inside - hint).square().mean()
        p, log_q = (soft / 2).softmax(1), (logits / 2).log_softmax(1)
        loss = loss + 4 * (p * (p.log() - log_q)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        teacher.load_state_dict(by_hand.state_dict())
    fit(algorithm)
    torch.testing.assert_close(algorithm.student.state_dict(), by_hand.state_dict(), rtol=1e-5, atol=1e-6)


def test_it_is_measured_in_validation() -> None:
    algorithm = make()
    metrics = fit(algorithm, val=batches())
    assert metrics.keys() == {"val_loss", "val_accuracy", "val_accuracy_teacher"}
    right = [(algorithm.average(batch["inputs"]).argmax(1) == batch["labels"]).float().mean() for batch in batches()]
    assert metrics["val_accuracy_teacher"] == pytest.approx(torch.stack(right).mean().item())


def test_a_checkpoint_has_it_beside_the_student() -> None:
    algorithm, other = make(), make(Norm(5))
    fit(algorithm)
    checkpoint: dict[str, object] = {}
    algorithm.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    torch.testing.assert_close(other.average.state_dict(), algorithm.average.state_dict(), rtol=0, atol=0)
    assert not any("teacher" in name for name in algorithm.state_dict())


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_a_decay_that_is_none(decay: float) -> None:
    message = f"algorithm.decay: the decay is out of range; expected 0 <= decay < 1, got {decay}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        make(decay=decay)


@pytest.mark.parametrize(("teachers", "shown"), [(None, "none"), ({"big": Norm(5)}, "big"), (Norm(6), "teacher")])
def test_a_teacher_that_is_no_copy(teachers: object, shown: str) -> None:
    message = (
        "teacher: a mean teacher begins as a copy of the student; expected 'teacher': copy.deepcopy(student), "
        f"got teachers {shown}."
    )
    distiller = Distiller(Norm(5), teachers, terms={"own": Term(_Size())})
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        MeanTeacher(distiller, optimizer=sgd)


def test_a_teacher_that_nothing_reads() -> None:
    student = Norm(5)
    message = "terms: nothing reads the mean teacher. Add a term, such as KLDivergence."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        MeanTeacher(Distiller(student, copy.deepcopy(student), terms={}), optimizer=sgd)


class _Size(nn.Module):
    def forward(self, student: torch.Tensor) -> torch.Tensor:
        return student.square().mean()
