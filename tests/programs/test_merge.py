"""One program with a student and frozen teachers, and the losses between them."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from program_nets import Does, Mlp, Net, assert_same, bits, images, stepped, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import StillroomError, losses, programs
from stillroom.programs import Program


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def merged(student: nn.Module | None = None, teacher: nn.Module | None = None, **options: Any) -> Program:
    """A student and a teacher that see the same images."""
    taught, own = programs.trace(teacher or Net(6), images()), programs.trace(student or Net(4), images())
    return programs.merge(taught, own, inputs={"x": "x"}, **options)


def test_both_compute_what_they_do_alone() -> None:
    student, teacher = Net(4), Net(6)
    program, alone = merged(student, teacher), copy.deepcopy(student)
    for training in (True, False):
        found = stepped(lambda x: program.output(program(x)), student, images(), training=training)
        assert_same(found, stepped(alone, alone, images(), training=training))
        assert_same(program(images())["teacher_fc"], teacher(images()))
        stepped(alone, alone, images(), training=training)  # as often as the student
    names = [info.name for info in program.tensors()]
    assert names[:4] == ["x", "teacher_x", "teacher_stem", "teacher_blocks.0.conv1"] and names[-1] == "fc"


def test_the_teacher_is_frozen_and_unseen() -> None:
    student, teacher = Net(4), Net(6).train()
    program = merged(student, teacher)
    before = bits(teacher)
    program.train()
    values = program(images().requires_grad_())
    assert not any(value.requires_grad for name, value in values.items() if name.startswith("teacher_"))
    values["fc"].sum().backward()
    assert_same(bits(teacher), before)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert [id(one) for one in program.parameters()] == [id(one) for one in student.parameters()]
    assert [*program.state_dict()] == [f"model.{name}" for name in student.state_dict()]
    program.double()
    assert program(images().double())["teacher_fc"].dtype == torch.float64


def test_a_teacher_that_wakes_up_is_an_error() -> None:
    teacher = Net(6)
    program = merged(teacher=teacher)
    teacher.blocks[1].norm1.train()
    with pytest.raises(
        StillroomError, match=r"^the teacher was put into train mode \(BatchNorm2d\.training is True\)\."
    ):
        program(images())
    teacher.requires_grad_().eval()
    assert not program(images())["teacher_fc"].requires_grad


def test_a_copy_has_a_teacher_of_its_own() -> None:
    program = merged()
    other = copy.deepcopy(program)
    network = other.teachers["teacher_"].network
    assert network is not program.teachers["teacher_"].network
    with torch.no_grad():
        network.fc.bias.add_(1)
    assert_same(other(images())["teacher_fc"] - 1, other(images())["teacher_fc"] - torch.ones(5))
    assert not torch.equal(other(images())["teacher_fc"], program(images())["teacher_fc"])


def test_pruning_keeps_what_is_asked_of_both() -> None:
    program = merged().eval()
    values = program(images())
    small = program.keep(["teacher_blocks.0", "fc"])
    assert {info.name for info in program.tensors()} - {info.name for info in small.tensors()} == {
        *(f"teacher_blocks.1.{name}" for name in ("conv1", "norm1", "act", "conv2", "norm2", "add", "act_1")),
        "teacher_mean",
        "teacher_fc",
    }
    convolution = 2 * 64 * 9 * 6 * 6
    assert small.pruned == (9, 2 * convolution + 2 * 6 * 5)
    found = small(images())
    assert_same(dict(found), {"teacher_blocks.0": values["teacher_blocks.0.act_1"], "fc": values["fc"]})


def test_several_teachers_and_a_choice_by_the_mode() -> None:
    student = Does(lambda net, x: F.dropout(net.lin(x), 0.5, net.training))
    one, two = Mlp(4), Does(lambda net, x: F.dropout(net.lin(x), 0.5, net.training))
    program = programs.trace(student, vectors())
    for prefix, teacher in (("one_", one), ("two_", two)):
        program = programs.merge(programs.trace(teacher, vectors()), program, inputs={"x": "x"}, prefix=prefix)
    other = copy.deepcopy(student)
    found = stepped(lambda x: program.output(program(x)), student, vectors(), training=True)
    assert_same(found, stepped(other, other, vectors(), training=True))
    values = program(vectors())
    assert_same([values["one_head"], values["two_dropout"]], [one(vectors()), two.lin(vectors())])


def test_a_teacher_that_overwrites_its_input_spoils_nothing() -> None:
    def spoils(net: Any, x: Tensor) -> Tensor:
        return net.lin(x.mul_(2))

    for ours, theirs in ((spoils, lambda net, x: net.lin(x)), (lambda net, x: net.lin(x), spoils)):
        student, teacher = Does(ours), Does(theirs)
        program = programs.merge(
            programs.trace(teacher, vectors()), programs.trace(student, vectors()), inputs={"x": "x"}
        )
        values = program(vectors())
        expected = [student(vectors()), teacher(vectors()), vectors(), vectors()]
        assert_same([values[name] for name in ("lin", "teacher_lin", "x", "teacher_x")], expected)


def test_constants_of_both() -> None:
    def make(number: float) -> nn.Module:
        return Does(lambda _, x: x * torch.tensor([number]) + torch.tensor([1.0]))

    taught, own = (programs.trace(make(number), vectors()) for number in (3.0, 2.0))
    values = programs.merge(taught, own, inputs={"x": "x"})(vectors())
    assert_same([values["add"], values["teacher_add"]], [vectors() * 2 + 1, vectors() * 3 + 1])


# What cannot be merged


def test_refusals() -> None:
    own, taught = programs.trace(Net(4), images()), programs.trace(Net(6), images())
    both = programs.merge(taught, own, inputs={"x": "x"})
    third = programs.trace(Net(5), images())
    larger = programs.trace(Net(6), images(2, 9))

    class Named(Net):
        def __init__(self) -> None:
            super().__init__()
            self.teacher_fc = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.teacher_fc(super().forward(x))

    taken = programs.trace(Named(), images())
    for arguments, options, message in (
        (
            (third, both),
            {"inputs": {"x": "x"}},
            "prefix: this prefix is another teacher's; got 'teacher_'. Choose another.",
        ),
        (
            (third, own),
            {"inputs": {"x": "x"}, "prefix": ""},
            "prefix: this cannot be a prefix; got ''. Choose another.",
        ),
        (
            (third, own),
            {"inputs": {"x": "x"}, "prefix": "a.b"},
            "prefix: this cannot be a prefix; got 'a.b'. Choose another.",
        ),
        (
            (both, third),
            {"inputs": {"x": "x"}, "prefix": "b_"},
            "b_: the teacher has teachers of its own; got 'teacher_'.",
        ),
        (
            (third, taken),
            {"inputs": {"x": "x"}},
            "teacher_: both programs have 'teacher_fc'. Choose another prefix: merge(..., prefix=...).",
        ),
        ((third, own), {"inputs": {"y": "x"}}, "inputs: the teacher has no input 'y'. There are: x."),
        ((third, own), {"inputs": {"x": "images"}}, "inputs: the student has no input 'images'. There are: x."),
        (
            (third, own),
            {"inputs": {}},
            "inputs: nothing is given for the teacher's input 'x'; expected {'x': one of 'x'}, got {}.",
        ),
        (
            (larger, own),
            {"inputs": {"x": "x"}},
            "the teacher's input 'teacher_x' differs from the student's 'x'; expected (2, 3, 9, 9) of torch.float32, "
            "got (2, 3, 8, 8) of torch.float32.",
        ),
    ):
        with pytest.raises(StillroomError, match=quoted(message)):
            programs.merge(*arguments, **options)


def test_one_model_cannot_be_both() -> None:
    model, other = Net(4), Net(4)
    other.fc = model.fc
    for teacher, got in (
        (model, "20 parameter(s), the first 'stem.weight'"),
        (other, "2 parameter(s), the first 'fc.weight'"),
    ):
        message = (
            f"teacher_: student and teacher share what one trains and the other must freeze; got {got}. "
            "Give the teacher a copy: copy.deepcopy(model)."
        )
        model.train().requires_grad_()
        with pytest.raises(StillroomError, match=quoted(message)):
            merged(model, teacher)
        assert model.training and all(parameter.requires_grad for parameter in model.parameters())


# Losses, in PaddleSlim's order: the teacher's tensors first


@pytest.fixture(scope="module")
def pair() -> Program:
    torch.manual_seed(0)
    return merged(Net(4).eval(), Net(4), prefix="teacher_")


def test_l2(pair: Program) -> None:
    program = copy.deepcopy(pair)
    name, again = program.l2("teacher_blocks.0", "blocks.0"), program.l2("teacher_x", "x")
    values = program(images())
    assert (name, again) == ("l2", "l2_1") and values["l2_1"] == 0
    expected = F.mse_loss(values["blocks.0.act_1"], values["teacher_blocks.0.act_1"])
    assert_same(values["l2"], expected)
    values["l2"].backward()
    assert program.model.stem.weight.grad.abs().sum() > 0


def test_fsp(pair: Program) -> None:
    program, names = copy.deepcopy(pair), ("teacher_stem", "teacher_blocks.1", "stem", "blocks.1")
    one, two = program.fsp(*names), program.fsp(names[:2], names[2:])
    values = program(images())
    tensors = [values[program.plan.find(name)] for name in names]
    assert_same([values[one], values[two]], [losses.FSP()((tensors[2], tensors[3]), (tensors[0], tensors[1]))] * 2)
    with pytest.raises(
        StillroomError, match=quoted("fsp takes two tensors of a teacher and two of the student; got 2 names.")
    ):
        program.fsp("teacher_stem", "stem")


def test_soft_label(pair: Program) -> None:
    program = copy.deepcopy(pair)
    name = program.soft_label("teacher_fc", "fc", teacher_temperature=2.0, student_temperature=4.0)
    values = program(images())
    expected = losses.SoftLabel(teacher_temperature=2.0, student_temperature=4.0)(values["fc"], values["teacher_fc"])
    assert_same(values[name], expected)
    default = program.soft_label("teacher_fc", "fc")
    values = program(images())
    assert_same(values[default], losses.SoftLabel()(values["fc"], values["teacher_fc"]))
    assert values[default] != values[name]


def test_a_loss_of_one_s_own(pair: Program) -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (self.weight * (a - b)).square().mean()

    program, weighted = copy.deepcopy(pair), Weighted()
    name = program.loss(weighted, a="teacher_fc", b="fc")
    plain = program.loss(lambda logits: logits.square().mean(), logits="fc")
    small = program.keep([name, plain])
    values, everything = small(images()), program(images())
    assert [*values] == [name, plain] == ["loss", "loss_1"]
    assert_same(values[name], weighted(everything["teacher_fc"], everything["fc"]))
    assert_same(values[plain], everything["fc"].square().mean())
    assert any(parameter is weighted.weight for parameter in small.parameters())
    assert len(small.losses) == 2 and len(program.keep([plain]).losses) == 1


def test_a_loss_reads_what_was_made_not_what_overwrote_it(pair: Program) -> None:
    program = copy.deepcopy(pair)
    small = program.keep([program.l2("teacher_blocks.0.norm1", "blocks.0.norm1")])
    values = program(images())
    assert values["blocks.0.norm1"].min() < 0
    assert_same(small(images())["l2"], F.mse_loss(values["blocks.0.norm1"], values["teacher_blocks.0.norm1"]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: p.l2("fc", "teacher_fc"),
            "the teacher's tensor comes first, and this is the student's; expected a name that starts with 'teacher_', "
            "got 'fc'.",
        ),
        (
            lambda p: p.l2("teacher_fc", "teacher_fc"),
            "the student's tensor comes second, and this is a teacher's; expected a name that does not start with "
            "'teacher_', got 'teacher_fc'.",
        ),
        (
            lambda p: p.l2("teacher_stem", "fc"),
            "l2(teacher='teacher_stem', student='fc'): student and teacher differ in shape; expected equal shapes, got "
            "student (2, 5) and teacher (2, 4, 8, 8). A connector can adapt the student to the teacher.",
        ),
        (lambda p: p.l2("teacher_stm", "stem"), "there is no tensor 'teacher_stm'. Did you mean 'teacher_stem'"),
        (
            lambda p: p.loss(lambda a, b: (a @ b).sum(), a="teacher_fc", b="stem"),
            "loss(a='teacher_fc', b='stem'): the loss fails on tensors of these shapes: RuntimeError: ",
        ),
        (
            lambda p: p.loss(lambda a: a.mean(0), a="fc"),
            "loss(a='fc'): a loss must return one number; expected a Tensor of shape (), got a Tensor of shape (5,).",
        ),
        (lambda p: p.soft_label("teacher_fc", "fc", teacher_temperature=0.0), "teacher_temperature"),
    ],
)
def test_losses_that_cannot_be(pair: Program, call: Any, message: str) -> None:
    before = len(pair.tensors())
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        call(pair)
    assert len(pair.tensors()) == before and not pair.losses
