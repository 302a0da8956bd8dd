"""A module as a value: for losses that call a part of the teacher."""

from __future__ import annotations

import re

import pytest
import torch
from recorded_nets import Net, images
from torch import Tensor, nn

import stillroom as kd
from stillroom import Site, StillroomError, Submodule, Term
from stillroom.losses import L2


class Through(nn.Module):
    """The teacher's head on the student's feature, against the teacher's answer."""

    def forward(self, student: Tensor, teacher: Tensor, *, head: nn.Module) -> Tensor:
        return (head(student.mean((2, 3))) - teacher).square().mean()


class Chained(nn.Module):
    def forward(self, student: Tensor, teacher: Tensor, *, tail: tuple[nn.Module, ...]) -> Tensor:
        for part in tail:
            student = part(student)
        return (student - teacher).square().mean()


def test_it_is_the_module_itself_of_a_compiled_model_too() -> None:
    model = Net()
    for given in (model, torch.compile(model, backend="eager")):
        with kd.record(given, head=Submodule("head"), conv=Submodule("conv")) as seen:
            model(images())
        assert seen["head"] is model.head
        assert seen["conv"] is model.conv


def test_a_loss_calls_a_part_of_the_teacher() -> None:
    torch.manual_seed(0)
    student, teacher = Net(), Net()
    term = Term(Through(), student="act", extra={"head": Site(Submodule("head"), "teacher")})
    distiller = kd.Distiller(student, teacher, terms={"through": term})
    distiller.prepare(images())
    found = distiller(images())
    hidden = student.act(student.norm(student.conv(images()))).mean((2, 3))
    expected = (teacher.head(hidden) - teacher(images())).square().mean()
    torch.testing.assert_close(found.loss, expected)
    found.loss.backward()
    assert student.conv.weight.grad is not None and student.conv.weight.grad.any()
    assert teacher.head.weight.grad is None
    assert not [name for name, _ in distiller.named_parameters() if "teacher" in name or "losses" in name]
    assert not [name for name in distiller.state_dict() if not name.startswith("student.")]


def test_what_the_loss_does_with_it_is_not_recorded() -> None:
    """The head runs once in the teacher's pass: the loss's own call of it is no second one."""
    through = Term(Through(), student="act", extra={"head": Site(Submodule("head"), "teacher")})
    terms = {"through": through, "logits": Term(L2(), student="head", teacher="head")}
    student, teacher = Net(), Net()
    distiller = kd.Distiller(student, teacher, terms=terms)
    for _ in range(2):
        found = distiller(images())
        torch.testing.assert_close(found.losses["logits"], (found.output - teacher(images())).square().mean())


def test_several_in_a_row() -> None:
    """A sequence of sites is a tuple for the loss."""
    torch.manual_seed(0)
    student, teacher = (nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2))
    tail = [Site(Submodule("1"), "teacher"), Site(Submodule("2"), "teacher")]
    term = Term(Chained(), student="0", teacher="", extra={"tail": tail})
    distiller = kd.Distiller(student, teacher, terms={"t": term})
    x = torch.randn(3, 4)
    expected = (teacher[2](teacher[1](student[0](x))) - teacher(x)).square().mean()
    torch.testing.assert_close(distiller(x).loss, expected)


def test_messages() -> None:
    message = "w: Net has no module 'heat'. Did you mean 'head'"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"), kd.record(Net(), w=Submodule("heat")):
        pass
    message = "w: a submodule has a path; got ''. Name a part of the model."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"), kd.record(Net(), w=Submodule("")):
        pass
    for empty, message in (
        ([], "extra.tail: an empty sequence names no site"),
        (["head"], "extra.tail: an extra value must say which model it comes from"),
    ):
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
            Term(Chained(), student="0", extra={"tail": empty})
