"""What methods return, and what they are called with."""

from __future__ import annotations

import pytest
import torch
from called_things import Calls, DoubleHead, Head, Times, TimesMore, held, vectors
from torch import Tensor, nn

import stillroom as kd
from stillroom import MethodInputs, MethodOutputs, StillroomError

X = vectors()


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    before = held()
    yield
    after = held()
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def test_methods_of_two_instances_in_a_class_and_its_subclass() -> None:
    model = Calls()
    sites = {f"out{call}": MethodOutputs("called_things.Head.apply", call=call) for call in (0, 1)}
    sites |= {f"in{call}": MethodInputs("called_things.Head.apply", call=call) for call in (0, 1)}
    with kd.record(model, **sites, heir=MethodOutputs("called_things.DoubleHead.apply")) as seen:
        model(X)
    assert list(seen["in0"]) == ["x", "power"] and (seen["in0"]["power"], seen["in1"]["power"]) == (1, 2)
    torch.testing.assert_close(seen["out0"], 2 * seen["in0"]["x"])
    torch.testing.assert_close(seen["out1"], 6 * seen["in1"]["x"] ** 2)  # what super() calls is a part of it
    torch.testing.assert_close(seen["heir"], seen["out1"])
    torch.testing.assert_close(seen["in1"]["x"], seen["out0"])


def test_static_and_class_methods_own_and_inherited() -> None:
    model, path = Calls(), "called_things.{}.{}"
    sites: dict[str, kd.MethodInputs | kd.MethodOutputs] = {}
    for cls, name in (("Head", "shift"), ("Head", "name"), ("DoubleHead", "name")):
        sites |= {
            f"{cls}_{name}": MethodOutputs(path.format(cls, name)),
            f"in_{cls}_{name}": MethodInputs(path.format(cls, name)),
        }
    with kd.record(model, **sites) as seen:
        model(X)
    assert seen["in_Head_shift"]["by"] == 1.0
    torch.testing.assert_close(seen["Head_shift"], seen["in_Head_shift"]["x"] + 1)
    torch.testing.assert_close(seen["DoubleHead_name"], seen["in_DoubleHead_name"]["x"] * len("DoubleHead"))
    torch.testing.assert_close(seen["Head_name"], seen["DoubleHead_name"])
    torch.testing.assert_close(seen["in_Head_shift"]["x"], seen["Head_name"])
    assert "name" not in vars(DoubleHead)
    assert isinstance(vars(Head)["shift"], staticmethod) and isinstance(vars(Head)["name"], classmethod)


@pytest.mark.parametrize("name", ["apply", "shift", "name"])
def test_blocks_inside_blocks_bind_the_same_arguments(name: str) -> None:
    model, site = Calls(), MethodInputs(f"called_things.Head.{name}", call=0)
    with kd.record(model, a=site) as outer, kd.record(model, a=site, b=site) as inner:
        model(X)
    torch.testing.assert_close(inner["a"], outer["a"])
    torch.testing.assert_close(inner["b"], outer["a"])
    assert next(iter(outer["a"])) == "x"


class Multiplies(nn.Module):
    def __init__(self, function: type[Times]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x, 3.0)


def test_a_function_of_autograd_and_a_subclass_of_it() -> None:
    x = vectors().requires_grad_()
    for function, factor in ((Times, 3), (TimesMore, 30)):
        model = Multiplies(function)
        for path in ("called_things.Times.apply", "torch.autograd.Function.apply"):
            with kd.record(model, y=MethodOutputs(path), given=MethodInputs(path)) as seen:
                torch.testing.assert_close(model(x), factor * x)
            torch.testing.assert_close(seen["y"], factor * x)
            torch.testing.assert_close(seen["given"], (x, 3.0))
            torch.testing.assert_close(torch.autograd.grad(seen["y"].sum(), x)[0], torch.full_like(x, factor))
    assert "apply" not in vars(Times)


def test_an_overwritten_value_is_recorded_as_it_was() -> None:
    class Shifts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Head.shift(x).mul_(0)

    with kd.record(Shifts(), out=MethodOutputs("called_things.Head.shift")) as seen:
        assert not Shifts()(X).any()
    torch.testing.assert_close(seen["out"], X + 1)


def test_methods_of_the_model_itself_compiled_in_time_and_too_late() -> None:
    torch._dynamo.reset()
    model, site = Named(), MethodOutputs("test_method_recorders.Named.inner")
    early, late = torch.compile(model, backend="eager"), torch.compile(Named(), backend="eager")
    with kd.record(early, out=site) as seen:
        early(X)
    torch.testing.assert_close(seen["out"], 2 * X)
    torch._dynamo.reset()
    late(X)
    with kd.record(late, out=site) as seen:
        torch.testing.assert_close(late(X), 2 * X + 1)
    message = (
        r"^out: method 'test_method_recorders\.Named\.inner' was never called in the forward pass\. Calls of "
        r"test_method_recorders\.Named\.inner are seen, and none of an instance that has an attribute 'inner' of its "
        r"own, nor by code that was compiled before\.$"
    )
    with pytest.raises(StillroomError, match=message):
        seen["out"]
    torch._dynamo.reset()


class Named(nn.Module):
    def inner(self, x: Tensor) -> Tensor:
        return 2 * x

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 1


def test_nothing_is_left_when_the_model_raises() -> None:
    model = Calls()
    model.one.weight = "nothing"
    sites = {
        f"{kind.__name__}{name}": kind(f"called_things.DoubleHead.{name}")
        for kind in (MethodInputs, MethodOutputs)
        for name in ("apply", "shift")
    }
    with pytest.raises(TypeError), kd.record(model, **sites):
        model(X)
