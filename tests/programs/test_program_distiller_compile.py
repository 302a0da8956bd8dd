"""Compiled, a distiller on a program is one graph with the same numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from program_nets import Mlp, Net, bits, images, vectors
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from stillroom import Between, Distiller, StillroomError, Term, WarmUp, programs
from stillroom.losses import L2, KLDivergence
from stillroom.programs import ProgramDistiller


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def make(**options: object) -> ProgramDistiller:
    torch.manual_seed(0)
    terms = {
        "kl": Term(KLDivergence(tau=4.0), **options),
        "hint": Term(L2(), student="blocks", teacher="blocks", connector="auto"),
        "early": Term(L2(), student="blocks.0.norm1", teacher="blocks.0.add", connector="auto"),
    }
    distiller = programs.distiller(Net(4, blocks=1), Net(6, blocks=1), images(), terms=terms)
    distiller.prepare(images())
    return distiller


def train(distiller: Distiller, model: nn.Module, x: Tensor, steps: int = 3) -> list[Tensor]:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.01, momentum=0.9)
    losses: list[Tensor] = []
    for step in range(steps):
        distiller.at(step=step)
        optimizer.zero_grad()
        out = model(x + 0.1 * step)
        out.loss.backward()
        optimizer.step()
        losses += [out.loss.detach(), *(loss.detach() for loss in out.losses.values())]
    return losses


def test_training_compiled_equals_training() -> None:
    distiller = make()
    eager = copy.deepcopy(distiller)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(distiller, backend=counter, fullgraph=True)
    torch.testing.assert_close(
        train(distiller, compiled, images()), train(eager, eager, images()), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(bits(distiller), bits(eager), rtol=1e-5, atol=1e-6)
    assert counter.frame_count == 1


def test_a_schedule_costs_no_graph_for_each_step() -> None:
    weight = Between(WarmUp(1.0, duration=6, unit="step"), stop=4, unit="step")
    terms = {"kl": Term(KLDivergence(), weight=weight), "head": Term(L2(), student="head", teacher="head")}
    distiller = programs.distiller(Mlp(4), Mlp(7), vectors(), terms=terms)
    eager = copy.deepcopy(distiller)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(distiller, backend=counter, fullgraph=True)
    torch.testing.assert_close(train(distiller, compiled, vectors(), 6), train(eager, eager, vectors(), 6))
    assert counter.frame_count <= 3  # one weight, any weight, without the term


def test_what_was_taught_is_used_compiled() -> None:
    distiller = make()
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    taught = distiller.teach(images())
    torch.testing.assert_close(compiled(images(), taught=taught).loss, distiller(images()).loss, rtol=1e-5, atol=1e-7)


def test_a_program_compiled_on_its_own() -> None:
    own, taught = programs.trace(Net(4), images()), programs.trace(Net(4), images())
    program = programs.merge(taught, own, inputs={"x": "x"}).eval()
    small = program.keep([program.l2("teacher_blocks.0", "blocks.0")])
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(small, backend=counter, fullgraph=True)
    for step in range(2):
        torch.testing.assert_close(compiled(images() + step), small(images() + step))
    assert counter.frame_count == 1
    program.teachers["teacher_"].network.train()
    with pytest.raises(Exception, match="the teacher was put into train mode"):
        compiled(images())


def test_a_teacher_that_is_put_into_train_mode_is_an_error_compiled_too() -> None:
    distiller = make()
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    compiled(images())
    distiller.teachers["teacher"].network.train()
    with pytest.raises(Exception, match="the teacher was put into train mode") as raised:
        compiled(images())
    assert isinstance(raised.value, StillroomError) or "StillroomError" in str(raised.value)


def test_inductor() -> None:
    terms = {"kl": Term(KLDivergence(tau=4.0)), "hint": Term(L2(), student="body", teacher="body", connector="auto")}
    distiller = programs.distiller(Mlp(4), Mlp(7), vectors(), terms=terms)
    distiller.prepare(vectors())
    expected = distiller(vectors()).loss
    wanted = torch.autograd.grad(expected, list(distiller.parameters()))
    found = torch.compile(distiller, fullgraph=True)(vectors()).loss
    gradients = torch.autograd.grad(found, list(distiller.parameters()))
    torch.testing.assert_close((found, gradients), (expected, wanted), rtol=1e-5, atol=1e-6)
