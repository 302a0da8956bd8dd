"""A program lives on the user's own model."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from program_nets import Does, Mlp, Net, assert_same, bits, images, stepped, vectors
from torch import Tensor, nn

from stillroom import StillroomError, programs


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_training_the_program_trains_the_model() -> None:
    model = Net()
    program, other = programs.trace(model, images()), copy.deepcopy(model)
    optimizer, expected = torch.optim.SGD(program.parameters(), 0.1), torch.optim.SGD(other.parameters(), 0.1)
    for _ in range(3):
        for run, steps in ((lambda x: program(x)["fc"], optimizer), (other, expected)):
            steps.zero_grad()
            run(images()).square().sum().backward()
            steps.step()
    assert_same(bits(model), bits(other))
    assert [id(one) for one in program.parameters()] == [id(one) for one in model.parameters()]


def test_its_mode_is_the_model_s() -> None:
    asked: list[bool] = []

    class Noticed(Net):
        def train(self, mode: bool = True) -> Noticed:
            asked.append(mode)
            return super().train(mode)

    model = Noticed()
    program = programs.trace(model, images())
    asked.clear()
    program.eval()
    assert asked == [False] and not any(module.training for module in model.modules())
    program.train()
    assert asked == [False, True] and all(module.training for module in model.modules())


def test_what_is_put_in_place_of_a_part_is_used() -> None:
    model = Net().eval()
    program = programs.trace(model, images())
    model.fc = nn.Linear(4, 7)
    assert_same(program(images())["fc"], model(images()))
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()}, assign=True)
    assert_same(program(images())["fc"], model(images()))


def test_parameters_and_buffers_outside_modules_are_looked_up_too() -> None:
    model = Does(lambda net, x: x * net.lin.weight[0] + net.mean.exp())
    program = programs.trace(model, vectors())
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()}, assign=True)
    assert_same(program(vectors())["add"], model(vectors()))
    assert len([*program.constants.buffers()]) == 0


def test_constants_move_and_are_not_saved() -> None:
    model = Does(lambda net, x: net.lin(x) * torch.tensor([0.5]).to(x.dtype))
    program = programs.trace(model, vectors())
    assert [*program.state_dict()] == [f"model.{name}" for name in model.state_dict()]
    program.double()
    assert [constant.dtype for constant in program.constants.buffers()] == [torch.float64]
    assert program(vectors().double())["mul"].dtype == torch.float64 == model.lin.weight.dtype


@pytest.mark.parametrize("how", [copy.deepcopy, lambda program: pickle.loads(pickle.dumps(program))])
def test_a_copy_has_a_model_of_its_own(how: Any) -> None:
    model = Net()
    program = programs.trace(model, images())
    other = how(program)
    before = program(images())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other(images())
    model.eval(), other.eval()
    assert before["fc"].abs().sum() > 0 and other(images())["fc"].abs().sum() == 0
    assert other.model is not model and other.tensors() == program.tensors()


def test_every_module_of_a_program_is_the_model_s() -> None:
    model = Net()
    program = programs.trace(model, images())
    assert {*program.model.modules()} == {*model.modules()} and program.model is model


# What is kept


def test_only_what_is_needed_is_computed() -> None:
    model = Net()
    program = programs.trace(model, images())
    small = program.keep(["blocks.0"])
    assert [*small(images())] == ["blocks.0"]
    assert [info.name for info in small.tensors()][-1] == "blocks.0.act_1"
    convolution, total = 2 * 64 * 9 * 4 * 4, sum(info.multiply_adds for info in program.tensors())
    assert small.pruned == (9, 2 * convolution + 2 * 4 * 5)
    assert small.pruned.multiply_adds == total - sum(info.multiply_adds for info in small.tensors())
    assert small.keep(["stem"]).pruned == (16, total - 2 * 64 * 27 * 4)
    assert program.pruned == (0, 0)


def test_statistics_that_feed_nothing_stand_still() -> None:
    model = Net().train()
    programs.trace(model, images()).keep(["blocks.0"])(images())
    assert model.blocks[0].norm1.num_batches_tracked == 1
    assert model.blocks[1].norm1.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "blocks.0.ad",
            "there is no tensor 'blocks.0.ad'. Did you mean 'blocks.0.add' or 'blocks.1.add' or 'blocks.0.act'?",
        ),
        ("blocks.0.act", None),
        ("unused", "module 'unused' does not run. There are: "),
        (
            "both",
            "module 'both' returns no single tensor, or one pruned away. Name one of its tensors: both.lin, both.mul.",
        ),
        (
            "twice",
            "module 'twice' is called 2 times. Name one of its tensors: twice.lin, twice.mul, twice.lin_1, twice.mul_1",
        ),
        ("twice.lin.weight", "'twice.lin.weight' is inside 'twice.lin', which runs as a whole. Its operations "),
    ],
)
def test_names_that_are_none(name: str, message: str | None) -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = Does(lambda net, x: (net.lin(x), x * 2))
            self.twice = Does(lambda net, x: net.lin(x) * 2)
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.twice(self.twice(self.both(x)[0]))

    program = programs.trace(Net(), images()) if name.startswith("blocks") else programs.trace(Parts(), vectors())
    if message is None:
        assert [*program.keep([name]).wanted.values()] == [name]
        return
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        program.keep([name])


def test_a_module_under_two_paths() -> None:
    model = Net()
    model.classifier = model.fc
    program = programs.trace(model, images()).eval()
    small = program.keep(["classifier", "fc"])
    assert_same(dict(small(images())), dict.fromkeys(("classifier", "fc"), model(images())))


def test_a_string_is_no_list_of_names() -> None:
    with pytest.raises(StillroomError, match=quoted("keep takes a list of names; got 'fc'.")):
        programs.trace(Net(), images()).keep("fc")


# Inputs and outputs


def test_the_output_has_the_model_s_own_form() -> None:
    model = Does(lambda net, x: {"logits": net.lin(x), "rest": [x, (x * 2, None, 3)]})
    program = programs.trace(model, vectors())
    assert program.outputs == ("lin", "x", "mul")
    assert_same(program.output(program(vectors())), model(vectors()))
    small = program.keep(["lin"])
    with pytest.raises(
        StillroomError, match=quoted("the output's 'x' is not among the values. Keep program.outputs as well.")
    ):
        small.output(small(vectors()))
    assert_same(program.output(program.keep(program.outputs)(vectors())), model(vectors()))


def test_inputs_that_are_missing_or_unknown() -> None:
    class Two(Mlp):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return super().forward(x * mask)

    program, x = programs.trace(Two(), vectors(), vectors()), vectors()
    for given, message in (
        ((x,), "inputs are missing or too many; expected x, mask, got 1."),
        ((x, x, x), "inputs are missing or too many; expected x, mask, got 3."),
        (({"x": x, "maks": x},), "there is no input 'maks'. Did you mean 'mask'?"),
        (({"x": x},), "the input 'mask' is missing; got x."),
    ):
        with pytest.raises(StillroomError, match=quoted(message)):
            program(*given)
    assert_same(program({"mask": x, "x": x + 1})["head"], program(x + 1, x)["head"])


def test_an_unused_parameter_gets_no_gradient() -> None:
    model = Does(lambda net, x: net.lin(x))
    program, other = programs.trace(model, vectors()), copy.deepcopy(model)
    found = stepped(lambda x: program.output(program(x)), model, vectors(), training=True)
    assert_same(found, stepped(other, other, vectors(), training=True))
    assert found.gradients[2] is None
