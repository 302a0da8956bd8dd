"""Values that are overwritten, and operations whose only result is what they overwrite."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from program_nets import Does, Net, assert_same, images, stepped, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import programs


def _unused_module(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    net.relu(y)
    return y + 1


def _unused_function(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    F.relu(y, inplace=True)
    return y + 1


def _unused_method(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    y.mul_(2)
    y.add_(1)
    return y


def _through_a_view(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    y[:, :2].mul_(3)
    y.view(-1).add_(1)
    return y * 2


def _view_of_the_changed(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    flat = y.view(-1)
    net.relu(y)
    return flat * 2


def _part_of_it(net: Any, x: Tensor) -> Tensor:
    y = net.lin(x)
    y[:, 0] = 5
    y[1:, 1] *= 2
    return y


def _operator(net: Any, x: Tensor) -> Tensor:
    y = z = net.lin(x)
    y += 1
    return z * 2


def _its_input(net: Any, x: Tensor) -> Tensor:
    x.mul_(2)
    return net.lin(x)


def _tuple(net: Any, x: Tensor) -> Tensor:
    parts = net.lin(x).sort(-1)
    parts[0].relu_()
    return torch.cat([parts[0], parts[1]], -1)


HABITS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "module": _unused_module,
    "function": _unused_function,
    "method": _unused_method,
    "view": _through_a_view,
    "changed under a view": _view_of_the_changed,
    "item": _part_of_it,
    "operator": _operator,
    "input": _its_input,
    "tuple": _tuple,
}


@pytest.mark.parametrize("kept", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("habit", HABITS)
def test_nothing_that_matters_is_pruned(habit: str, kept: bool) -> None:
    model = Does(HABITS[habit])
    program, other = programs.trace(model, vectors()), copy.deepcopy(model)
    if kept:
        program = program.keep(program.outputs)
    for training in (True, False):
        found = stepped(lambda x: program.output(program(x.clone())), model, vectors(), training=training)
        assert_same(found, stepped(lambda x: other(x.clone()), other, vectors(), training=training))


def test_a_value_is_what_it_was_when_it_was_made() -> None:
    model = Does(lambda net, x: net.relu(net.norm(net.lin(x))))
    values = programs.trace(model, vectors())(vectors())
    before = model.norm(model.lin(vectors()))
    assert before.min() < 0
    assert_same(values["norm"], before)
    assert_same(values["relu"], before.relu())


def test_its_gradient_is_that_of_what_it_was() -> None:
    model = Does(lambda net, x: net.relu(net.lin(x)))
    values = programs.trace(model, vectors())(vectors())
    found = torch.autograd.grad(values["lin"].sum(), model.lin.bias)[0]
    assert_same(found, torch.full((6,), 4.0))


def test_an_input_is_what_was_given() -> None:
    x = vectors()
    values = programs.trace(Does(_its_input), vectors())(x)
    assert_same(values["x"], vectors())
    assert_same(x, vectors() * 2)  # as the model does


def test_it_is_copied_only_where_it_is_kept_and_overwritten() -> None:
    def targets(part: programs.Program) -> list[str]:
        return [getattr(node.target, "__name__", "") for node in part._code.graph.nodes]

    program = programs.trace(Net(), images())
    assert targets(program.keep(["fc"])).count("copied") == 0
    assert targets(program.keep(["blocks.0.norm1", "blocks.0.conv1", "fc"])).count("copied") == 1
    assert targets(program.keep(["blocks.0.norm1"])).count("copied") == 0  # nothing is left that overwrites it


def test_a_buffer_that_is_moved_is_moved_in_every_part() -> None:
    def moves(net: Any, x: Tensor) -> Tensor:
        net.mean.add_(x.detach().mean(0))
        return net.lin(x)

    model = Does(moves)
    small = programs.trace(model, vectors()).keep(["lin"])
    for _ in range(2):
        small(vectors())
    assert_same(model.mean, vectors().mean(0) + vectors().mean(0))


def test_a_module_s_output_is_what_it_was_on_return() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Does(_unused_module)
            self.changed = Does(_unused_method)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x).relu_() + self.changed(x).relu_()

    model = Outer()
    small = programs.trace(model, vectors()).keep(["inner", "changed"])
    expected = {"inner": model.inner(vectors()), "changed": model.changed(vectors())}
    assert expected["changed"].min() < 0
    assert_same(dict(small(vectors())), expected)
