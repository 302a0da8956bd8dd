"""What CRD remembers."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import crd_processes
import pytest
import torch
from crd_made import INDEX, LABELS, SAMPLES, embeddings, features, learned, made
from torch import Tensor

from stillroom.losses import CRD


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_rows_of_the_batch_follow_its_embeddings(momentum: float) -> None:
    loss = made(momentum=momentum)
    before = copy.deepcopy(loss)
    learned(loss)
    for bank, embedded in zip(("student_bank", "teacher_bank"), embeddings(loss), strict=True):
        rows, old = getattr(loss, bank).rows, getattr(before, bank).rows
        expected = old.clone()
        for place, sample in enumerate(INDEX.tolist()):
            moved = momentum * old[sample] + (1 - momentum) * embedded[place]
            expected[sample] = moved / moved.norm()
        torch.testing.assert_close(rows, expected)
    assert loss.classes[INDEX].tolist() == LABELS.tolist()
    assert int((loss.classes == -1).sum()) == SAMPLES - 3


def test_banks_start_at_random_within_their_bound() -> None:
    rows = made(500, dim=12).student_bank.rows
    assert float(rows.abs().max()) <= math.sqrt(3 / 12)
    assert float(rows.norm(dim=1).mean()) == pytest.approx(1, abs=0.05)


def test_sample_that_stands_twice_moves_once_by_its_first_row() -> None:
    loss, single = made(), made()
    student, teacher = features()
    index = torch.tensor([5, 8, 5])
    loss(student, teacher, index=index, labels=index % 3)
    single(student[:2], teacher[:2], index=index[:2], labels=index[:2] % 3)
    torch.testing.assert_close(loss.student_bank.rows, single.student_bank.rows)
    torch.testing.assert_close(loss.teacher_bank.rows, single.teacher_bank.rows)


def test_eval_mode_writes_nothing() -> None:
    loss = made().eval()
    before = copy.deepcopy(loss.state_dict())
    assert torch.isfinite(learned(loss))
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_gradient_is_that_of_the_banks_at_the_forward_pass() -> None:
    """Two forward passes before the backward, as gradients of two batches are added up."""
    loss = made()
    value = learned(loss)
    alone = torch.autograd.grad(value, [*loss.parameters()], retain_graph=True)
    learned(loss, torch.tensor([7, 2]), seed=1)
    late = torch.autograd.grad(value, [*loss.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(alone, late, strict=True))


def test_state_continues_where_it_was_saved(tmp_path: Path) -> None:
    loss = made()
    learned(loss)
    torch.save(loss.state_dict(), tmp_path / "state.pt")
    other = CRD(3, 2, SAMPLES, dim=4, negatives=6).double()
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    values: list[Tensor] = []
    for each in (loss, other):
        torch.manual_seed(5)
        values.append(learned(each, torch.tensor([7, 1]), seed=1))
    assert torch.equal(*values)
    assert all(torch.equal(a, b) for a, b in zip(loss.buffers(), other.buffers(), strict=True))


def test_state_holds_banks_classes_and_normalisers() -> None:
    buffers = ["classes", "student_bank.rows", "student_bank.log_z", "teacher_bank.rows", "teacher_bank.log_z"]
    weights = [f"{side}_embedding.{name}" for side in ("student", "teacher") for name in ("weight", "bias")]
    assert sorted(made().state_dict()) == sorted(buffers + weights)


def test_two_processes_have_the_banks_of_one(tmp_path: Path) -> None:
    first, second = crd_processes.in_two(tmp_path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.testing.assert_close(first, crd_processes.in_one(), rtol=1e-10, atol=1e-12)


def test_normaliser_is_that_of_the_first_batch_and_stays() -> None:
    loss = made()
    before = copy.deepcopy(loss)
    torch.manual_seed(3)
    learned(loss)
    before.classes.copy_(loss.classes)
    torch.manual_seed(3)
    chosen = torch.cat((INDEX[:, None], before.draw(LABELS)), dim=1)
    for bank, embedded in zip(("teacher_bank", "student_bank"), embeddings(loss), strict=True):
        rows = getattr(before, bank).rows[chosen]
        exps = ((rows * embedded[:, None]).sum(2) / 0.07).exp()
        torch.testing.assert_close(getattr(loss, bank).log_z.exp(), exps.mean() * SAMPLES)
    kept = [loss.student_bank.log_z.clone(), loss.teacher_bank.log_z.clone()]
    learned(loss, torch.tensor([0, 1]), seed=1)
    assert [loss.student_bank.log_z, loss.teacher_bank.log_z] == kept


def test_compiled_steps_write_what_eager_ones_do() -> None:
    torch._dynamo.reset()
    eager, loss = made(), made()
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    for seed in range(2):
        for module in (eager, compiled):
            torch.manual_seed(seed)
            learned(module, seed=seed)
    for name, value in loss.state_dict().items():
        torch.testing.assert_close(value, eager.state_dict()[name])
