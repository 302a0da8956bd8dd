"""What a trace names, what it leaves whole, what it refuses, and that it changes nothing."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from program_nets import Block, Does, Mlp, Net, assert_same, bits, images, stepped, vectors
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stillroom import StillroomError, programs
from stillroom.programs import Program


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def names(program: Program) -> list[str]:
    return [info.name for info in program.tensors()]


# Names


def test_names_say_where_a_tensor_is_made() -> None:
    assert names(programs.trace(Net(blocks=1), images())) == [
        "x",
        "stem",
        "blocks.0.conv1",
        "blocks.0.norm1",
        "blocks.0.act",
        "blocks.0.conv2",
        "blocks.0.norm2",
        "blocks.0.add",
        "blocks.0.act_1",
        "mean",
        "fc",
    ]


NAMES = """
import torch
from program_nets import Net, images
from stillroom import programs
print([info.name for info in programs.trace(Net(), images()).tensors()])
"""


def test_names_are_the_same_in_another_process() -> None:
    folder = __file__.rpartition("/")[0]
    found = subprocess.run(
        [sys.executable, "-c", NAMES], capture_output=True, text=True, check=True, cwd=folder, timeout=120
    )
    assert found.stdout.strip() == str(names(programs.trace(Net(), images())))


def test_items_are_named_as_such_and_sizes_have_no_name() -> None:
    def halves(_: nn.Module, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * x.shape[-1], b], -1).view(len([a, b]), -1)[0]

    program = programs.trace(Does(halves), vectors())
    assert names(program) == ["x", "chunk[0]", "chunk[1]", "mul", "cat", "view", "view[0]"]


def test_a_module_s_path_is_nothing_else_s_name() -> None:
    class Adds(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.add = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.add(x + 1) + 1

    assert names(programs.trace(Adds(), vectors())) == ["x", "add_1", "add", "add_2"]


def test_what_is_known_of_a_tensor() -> None:
    program = programs.trace(Net().double(), images().double())
    info = {info.name: info for info in program.tensors()}["blocks.0.add"]
    assert info == programs.TensorInfo(
        "blocks.0.add", "add", "blocks.0", (2, 4, 8, 8), torch.float64, 2 * 4 * 64 * 8, 0
    )


def test_shapes_are_those_of_evaluation() -> None:
    model = Part(lambda part, x: part.lin(x) if part.training else part.lin(x)[:, :4])
    model.after = nn.Identity()
    program = programs.trace(model.train(), vectors())
    assert {info.name: info.shape for info in program.tensors()}["part"] == (4, 4)


def test_multiply_adds_are_those_of_the_model() -> None:
    net = nn.Sequential(Net(), nn.Linear(5, 7)).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        net(images())
    infos = programs.trace(net, images()).tensors()
    assert sum(info.multiply_adds for info in infos) == flops.get_total_flops() // 2 > 0
    assert {info.name: info.multiply_adds for info in infos}["1"] == 2 * 5 * 7


def test_multiply_adds_of_several_tensors_stand_with_the_first() -> None:
    attention = Does(lambda net, x: net.attention(x, x, x)[0])
    attention.attention = nn.MultiheadAttention(8, 2, batch_first=True)
    info = programs.trace(attention, torch.randn(2, 3, 8)).tensors()[-1]
    assert (info.name, info.operation) == ("attention[0]", "getitem") and info.multiply_adds >= 2 * 3 * 8 * 4 * 8


def test_an_encoder_that_is_frozen_is_counted_too() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().requires_grad_(False)
    total = sum(info.multiply_adds for info in programs.trace(encoder, torch.randn(2, 3, 8)).tensors())
    assert total >= 2 * 3 * 8 * (4 * 8 + 2 * 16)
    assert torch.backends.mha.get_fastpath_enabled()


def test_inputs_by_keyword() -> None:
    class Worded(Mlp):
        def forward(self, x: Tensor, mask: Tensor | None = None, scale: float = 2.0) -> dict[str, Tensor]:
            return {"hidden": self.body(x * mask) * scale, "logits": super().forward(x * mask)}

    model, batch = Worded(), {"mask": vectors(4) > 0, "x": vectors()}
    program = programs.trace(model, batch)
    assert program.inputs == ("mask", "x") and program.outputs == ("mul_1", "head")
    assert_same(program.output(program(batch)), model(**batch))
    assert_same(program.output(program(batch["mask"], batch["x"])), model(**batch))


def test_another_batch_size() -> None:
    model = Net().eval()
    program = programs.trace(model, images(2))
    assert_same(program(images(5))["fc"], model(images(5)))


# What stays whole


class Part(nn.Module):
    """One habit, in a module of its own, between two layers."""

    def __init__(self, habit: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.part, self.after = nn.Linear(6, 6), Does(habit), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.part(self.before(x)))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:
        return -grad


def _no_grad(part: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return part.lin(x) * 2


def _no_autocast(part: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return part.lin(x.float())


def _rescued(part: nn.Module, x: Tensor) -> Tensor:
    return x if x.sum() > 1e9 else part.lin(x)


WHOLE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "training": lambda part, x: part.lin(x) if part.training else x + 1,
    "wiring": lambda part, x: (part.lin(x), x * 2)[part.training],
    "constant": lambda part, x: x * (2.0 if part.training else 3.0),
    "no gradient": _no_grad,
    "no autocast": _no_autocast,
    "a function of autograd": lambda _, x: Reversed.apply(x) * 2,
    "control flow": lambda part, x: part.lin(x) if x.shape[1] > 3 else x,
    "numbers of its own": lambda _, x: x + torch.rand(6),
    "loops over data": lambda _, x: torch.stack([row * 2 for row in x]),
}


@pytest.mark.parametrize("habit", WHOLE)
def test_what_cannot_be_recorded_runs_as_a_whole(habit: str) -> None:
    model = Part(WHOLE[habit])
    program, other = programs.trace(model, vectors()), copy.deepcopy(model)
    assert names(program) == ["x", "before", "part", "after"]
    for training in (True, False):
        found = stepped(lambda x: program.output(program(x)), model, vectors(), training=training)
        assert_same(found, stepped(other, other, vectors(), training=training))


def test_what_can_be_recorded_does_not() -> None:
    program = programs.trace(Part(lambda part, x: part.lin(x) * 2), vectors())
    assert names(program) == ["x", "before", "part.lin", "part.mul", "after"]


def test_a_tensor_inside_a_whole_module_has_no_name() -> None:
    program = programs.trace(Part(WHOLE["training"]), vectors())
    message = (
        "'part.lin' is inside 'part', which runs as a whole. Its operations depend on the mode, or cannot be followed. "
        "Hooks reach it: Distiller, or record()."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        program.keep(["part.lin"])


def test_a_choice_by_the_mode_in_the_model_itself() -> None:
    model = Does(lambda net, x: F.dropout(net.norm(net.lin(x)), 0.5 if net.training else 0.1, net.training))
    program, other = programs.trace(model, vectors()), copy.deepcopy(model)
    assert names(program) == ["x", "lin", "norm", "dropout"]
    for training in (True, False, True):
        found = stepped(lambda x: program.output(program(x)), model, vectors(), training=training)
        assert_same(found, stepped(other, other, vectors(), training=training))


# Refusals

REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "control flow": (
        _rescued,
        "the forward pass of Does cannot be followed without running it; got TraceError: symbolically traced variables "
        "cannot be used as inputs to control flow.",
    ),
    "no gradient": (
        _no_grad,
        "the forward pass of Does cannot be followed without running it; got its forward pass switches "
        "gradients or autocast on or off, which is not recorded.",
    ),
    "a function of autograd": (
        lambda _, x: Reversed.apply(x),
        "the forward pass of Does cannot be followed without running it; got its forward pass calls Reversed, a custom "
        "function of autograd.",
    ),
    "objects": (
        lambda _, x: {1, x},
        "the forward pass of Does cannot be followed without running it; got it returns a set, in which tensors "
        "cannot be found.",
    ),
    "training": (
        lambda net, x: net.lin(x) if net.training else x,
        "the forward pass of Does does other operations in training than in evaluation, outside every module in it; "
        "got 1 in evaluation, 2 in training, or another output.",
    ),
    "numbers": (
        lambda _, x: x + torch.rand(6),
        "the forward pass of Does does other operations in training than in evaluation, outside every module in it; "
        "got 'constant' in evaluation, 'constant' in training.",
    ),
}


@pytest.mark.parametrize("habit", REFUSED)
def test_a_model_that_cannot_be_followed_is_sent_to_hooks(habit: str) -> None:
    what, message = REFUSED[habit]
    with pytest.raises(
        StillroomError, match=quoted(message + " Read such a model through hooks: Distiller, or record().")
    ):
        programs.trace(Does(what), vectors())


def test_shapes_that_depend_on_data() -> None:
    with pytest.raises(
        StillroomError, match=r"^Does: 'getitem' cannot be computed on tensors without data; got Dynamic"
    ):
        programs.trace(Does(lambda _, x: x[x > 0]), vectors())


def test_an_example_that_does_not_fit() -> None:
    message = "the example does not fit Mlp.forward; expected 1 to 1 inputs (x), got 2."
    with pytest.raises(StillroomError, match=quoted(message)):
        programs.trace(Mlp(), vectors(), vectors())
    with pytest.raises(
        StillroomError, match=r"^body: 'body' cannot be computed on .*; got RuntimeError: .* If the example"
    ):
        programs.trace(Mlp(), torch.randn(2, 7))
    with pytest.raises(StillroomError, match=quoted("x: the inputs of a program are tensors; got a list of 2.")):
        programs.trace(Mlp(), [vectors(), vectors()])


# Nothing is changed


@pytest.mark.parametrize("habit", ["training", "control flow", "data"])
def test_a_trace_leaves_no_trace(habit: str) -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Does(lambda net, x: net.norm(x) + net.mean.add_(1))
            self.outer = Does(WHOLE.get(habit, _rescued))
            self.block = Block(3)

        def forward(self, x: Tensor) -> Tensor:
            self.inner.mean.mul_(2)
            return self.outer(self.inner(x)) + torch.tensor([2.0])

    model = Counts().train()
    model.block.eval()
    before, state, attributes = bits(model), torch.get_rng_state(), set(dir(model))
    apply = vars(torch.autograd.Function)["apply"]
    modes, held = [module.training for module in model.modules()], [id(buffer) for buffer in model.buffers()]
    if habit == "data":
        with pytest.raises(StillroomError, match="without data"):
            programs.trace(model, vectors())
    else:
        programs.trace(model, vectors())
    assert_same(bits(model), before)
    assert torch.equal(torch.get_rng_state(), state) and set(dir(model)) == attributes
    assert [module.training for module in model.modules()] == modes
    assert [id(buffer) for buffer in model.buffers()] == held
    assert torch.is_grad_enabled() and vars(torch.autograd.Function)["apply"] is apply
