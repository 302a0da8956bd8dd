"""What a student takes over from a teacher before it trains."""

from __future__ import annotations

import re

import pytest
import torch
from distil_nets import Net
from torch import nn

import stillroom as kd
from stillroom import StillroomError


def test_parameters_and_buffers_are_copied_and_nothing_else_changes() -> None:
    student, teacher = Net(4), Net(4)
    teacher.norm.running_mean.fill_(3)
    student.head.requires_grad_(False)
    conv = student.conv.weight.clone()
    kd.inherit(student, teacher, {"norm": "norm", "head": "head"})
    assert torch.equal(student.head.weight, teacher.head.weight)
    assert student.head.weight is not teacher.head.weight
    assert student.norm.running_mean.unique().tolist() == [3]
    assert torch.equal(student.conv.weight, conv)
    assert not student.head.weight.requires_grad and student.norm.weight.requires_grad
    teacher.head.weight.data.zero_()
    assert student.head.weight.any()


def test_into_another_place_and_of_compiled_models() -> None:
    student, teacher = nn.Sequential(nn.Tanh(), nn.Linear(4, 5)), Net(4)
    kd.inherit(torch.compile(student, backend="eager"), torch.compile(teacher, backend="eager"), {"1": "head"})
    assert torch.equal(student[1].bias, teacher.head.bias)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"heat": "head"}, "inherit: Net has no module 'heat'. Did you mean 'head'"),
        ({"head": "heat"}, "inherit: Net has no module 'heat'. Did you mean 'head'"),
        (
            {"norm": "norm", "head": "head"},
            "inherit.norm: the teacher's 'norm' does not fit the student's 'norm'; expected weight of shape (4,), "
            "got (7,).",
        ),
        (
            {"head": "norm"},
            "inherit.head: the teacher's 'norm' does not fit the student's 'head'; expected weight of shape (5, 4), "
            "got (7,).",
        ),
        (
            {"act": "head"},
            "inherit.act: the teacher's 'head' does not fit the student's 'act'; expected weight of shape None, "
            "got (5, 7).",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_copied(parts: dict[str, str], message: str) -> None:
    student, teacher = Net(4), Net(7)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        kd.inherit(student, teacher, parts)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
