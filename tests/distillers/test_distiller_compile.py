"""Compiled distillers give the same losses and gradients, in one graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from distil_nets import Mlp, Net, bits, hint, images, vectors
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from stillroom import Between, Distiller, StillroomError, Term, WarmUp
from stillroom.losses import L2, KLDivergence


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def make(**weights: object) -> Distiller:
    """Without dropout, whose draws differ once they are compiled."""
    torch.manual_seed(0)
    student, teacher = Net(4), Net(6)
    student.drop = nn.Identity()
    terms = {"kl": Term(KLDivergence(tau=4.0), **weights), "hint": hint(weight=0.5), "early": hint("conv")}
    distiller = Distiller(student, teacher, terms=terms)
    distiller.prepare(images())
    return distiller


def train(distiller: Distiller, model: nn.Module, steps: int = 4) -> list[Tensor]:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.01, momentum=0.9)
    losses: list[Tensor] = []
    for step in range(steps):
        distiller.at(step=step)
        optimizer.zero_grad()
        out = model(images(4) + 0.1 * step)
        out.loss.backward()
        optimizer.step()
        losses += [out.loss.detach(), *(loss.detach() for loss in out.losses.values())]
    return losses


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_training_compiled_equals_training(backend: str) -> None:
    distiller = make()
    eager = copy.deepcopy(distiller)
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(distiller, backend=counter, fullgraph=True)
    torch.testing.assert_close(train(distiller, compiled), train(eager, eager), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(bits(distiller), bits(eager), rtol=1e-5, atol=1e-6)
    assert counter.frame_count == 1


def test_a_schedule_costs_no_graph_for_each_step() -> None:
    distiller = make(weight=Between(WarmUp(1.0, duration=8, unit="step"), stop=6, unit="step"))
    eager = copy.deepcopy(distiller)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(distiller, backend=counter, fullgraph=True)
    torch.testing.assert_close(train(distiller, compiled, 9), train(eager, eager, 9))
    assert counter.frame_count <= 3  # one weight, any weight, without the term


def test_a_student_compiled_by_its_owner() -> None:
    distiller = make()
    expected = distiller(images()).loss
    student = torch.compile(copy.deepcopy(distiller.student), backend="eager")
    other = Distiller(student, distiller.teachers["teacher"].network, terms=distiller.terms)
    other.prepare(images())
    other.connectors.load_state_dict(distiller.connectors.state_dict())
    for _ in range(2):
        torch.testing.assert_close(other(images()).loss, expected)
        other.prepare(images())


def test_a_student_compiled_and_run_before_is_an_error() -> None:
    student = torch.compile(Mlp(4), backend="eager")
    student(vectors())
    distiller = Distiller(student, Mlp(7), terms={"hint": Term(L2(), student="body", teacher="body", connector="auto")})
    message = (
        r"^terms\.hint\.student: module 'body' was never called in the forward pass\. "
        r"Compiled code ignores hooks made after it: compile the distiller, not the models in it\.$"
    )
    distiller.prepare(vectors())  # without gradients it is compiled anew
    with pytest.raises(StillroomError, match=message):
        distiller(vectors())


@dataclass
class Boxed:
    parts: dict[str, Tensor]


class Boxes(nn.Module):
    def forward(self, x: Tensor) -> Boxed:
        return Boxed({"x": x * 1, "none": None})


class Overwrites(nn.Module):
    """Changes what its module returned: the tensor itself, then what stands in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.boxes = nn.Linear(6, 5), Boxes()

    def forward(self, x: Tensor) -> Tensor:
        boxed = self.boxes(self.body(x))
        boxed.parts["x"].add_(1)
        boxed.parts["x"] = boxed.parts["x"] * 2
        return boxed.parts["x"]


def test_values_inside_any_object_compiled() -> None:
    site = "boxes[parts][x]"
    distiller = Distiller(Overwrites(), Overwrites(), terms={"hint": Term(L2(), student=site, teacher=site)})
    distiller.prepare(vectors())
    student, teacher = distiller.student, distiller.teachers["teacher"].network
    wanted = L2()(student.body(vectors()), teacher.body(vectors()))
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    for model in (distiller, compiled, compiled):
        torch.testing.assert_close(model(vectors()).loss, wanted)


def test_what_was_taught_is_used_compiled() -> None:
    distiller = make()
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    taught = distiller.teach(images())
    distiller.teachers["teacher"].network.head = None  # it cannot run
    torch.testing.assert_close(compiled(images(), taught=taught).loss, distiller(images(), taught=taught).loss)


def test_a_teacher_that_is_put_into_train_mode_is_an_error_compiled_too() -> None:
    distiller = make()
    teacher = distiller.teachers["teacher"].network
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    compiled(images())
    before = bits(teacher)
    teacher.train()
    with pytest.raises(Exception, match="the teacher was put into train mode"):
        compiled(images())
    torch.testing.assert_close(bits(teacher), before, rtol=0, atol=0)
    teacher.eval()
    compiled(images())


def test_inductor() -> None:
    terms = {"kl": Term(KLDivergence(tau=4.0)), "hint": Term(L2(), student="body", teacher="body", connector="auto")}
    distiller = Distiller(Mlp(4), Mlp(7), terms=terms)
    distiller.prepare(vectors())
    expected = distiller(vectors()).loss
    wanted = torch.autograd.grad(expected, list(distiller.parameters()))
    found = torch.compile(distiller, fullgraph=True)(vectors()).loss
    gradients = torch.autograd.grad(found, list(distiller.parameters()))
    torch.testing.assert_close((found, gradients), (expected, wanted), rtol=1e-5, atol=1e-6)
