"""Every function and method that a model calls."""

from __future__ import annotations

import sys

import called_things
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import stillroom as kd
from stillroom import StillroomError
from stillroom.recorders import CallInfo, list_calls


class Uses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = nn.Linear(4, 4), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.body(x)) + 1
        return F.relu(h + torch.rand(4)).sum()


def test_paths_that_can_be_recorded_with_their_number_of_calls() -> None:
    model, x = Uses(), torch.randn(2, 4)
    found = list_calls(torch.compile(model, backend="eager"), x)
    assert [info for info in found if not info.path.endswith("__get__")] == [
        CallInfo("torch.nn.functional.linear", "function", 1, 1),
        CallInfo("torch.nn.functional.dropout", "function", 1, 1),
        CallInfo("torch.Tensor.add", "function", 2, 2),
        CallInfo("torch.rand", "function", 1, 1),
        CallInfo("torch.nn.functional.relu", "function", 1, 1),
        CallInfo("torch.Tensor.sum", "function", 1, 1),
    ]
    sites = {f"site{index}": kd.FunctionOutputs(info.path, call=-1) for index, info in enumerate(found)}
    with kd.record(model, **sites) as seen:
        model(x)
    assert all(isinstance(seen[name], Tensor) for name in sites)


@pytest.mark.parametrize("width", [4, 7])
def test_modes_are_as_before_and_nothing_listens_afterwards(width: int) -> None:
    model = Uses()
    model.drop.eval()
    try:
        list_calls(model, torch.randn(2, width))
    except RuntimeError:
        assert width == 7
    assert [module.training for module in model.modules()] == [True, True, False]
    assert torch._C._len_torch_function_stack() == 0
    assert sys.getprofile() is None


def test_another_profiler_is_not_disturbed() -> None:
    def profiler(*_: object) -> None:
        pass

    sys.setprofile(profiler)
    try:
        with pytest.raises(StillroomError) as error:
            list_calls(Uses(), torch.randn(2, 4))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert str(error.value) == (
        "the calls of a model are found with Python's profiler, and another one is at work. Stop that one."
    )


class Trains(nn.Module):
    """Calls other things in train mode, and cannot train alone."""

    def __init__(self, *, labelled: bool) -> None:
        super().__init__()
        self.norm, self.head, self.labelled = nn.BatchNorm1d(4), called_things.DoubleHead(2.0), labelled

    def shown(self, x: Tensor) -> Tensor:
        return called_things.scale(called_things.scale(x))

    def forward(self, x: Tensor) -> Tensor:
        x = self.shown(self.norm(x))
        if self.training:
            x = self.head.apply(self.head.shift(self.head.name(x) + torch.rand(4)))
        assert not (self.labelled and self.training), "labels"
        return F.relu(x)


@pytest.mark.parametrize("labelled", [True, False])
def test_calls_of_the_models_own_code_in_both_modes(labelled: bool) -> None:
    model, x = Trains(labelled=labelled), torch.randn(3, 4)
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    found = list_calls(model, x)
    assert [info for info in found if "torch" not in info.path] == [
        CallInfo("test_list_calls.Trains.shown", "method", 1, 1),
        CallInfo("called_things.scale", "function", 2, 2),
        CallInfo("called_things.Head.name", "method", 0, 1),
        CallInfo("called_things.Head.shift", "method", 0, 1),
        CallInfo("called_things.DoubleHead.apply", "method", 0, 1),
        CallInfo("called_things.Head.apply", "method", 0, 1),
    ]
    assert CallInfo("torch.rand", "function", 0, 1) in found
    assert CallInfo("torch.nn.functional.relu", "function", 1, 0 if labelled else 1) in found
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    sites = {
        f"site{index}": (kd.FunctionOutputs if info.kind == "function" else kd.MethodOutputs)(info.path, call=-1)
        for index, info in enumerate(found)
        if info.evaluated and not info.path.endswith("__get__")
    }
    with kd.record(model.eval(), **sites) as seen:
        model(x)
    assert all(seen[name] is not None for name in sites)


def test_a_model_that_does_not_take_the_inputs() -> None:
    with pytest.raises(RuntimeError):
        list_calls(Uses(), torch.randn(2, 7))
