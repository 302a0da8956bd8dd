"""What functions return, and what they are called with."""

from __future__ import annotations

import re

import called_things
import pytest
import torch
from called_things import Calls, Everything, Fails, Overwrites, held, scale, vectors
from torch import Tensor, nn
from torch.nn import functional as F

import stillroom as kd
from stillroom import FunctionInputs, FunctionOutputs, StillroomError

SCALE = "called_things.scale"
X = vectors()


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    before = held()
    yield
    after = held()
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


# Values


def test_outputs_and_arguments_by_name_with_defaults() -> None:
    model = Calls()
    sites = {f"out{call}": FunctionOutputs(SCALE, call=call) for call in (0, 1, -1)}
    sites |= {f"in{call}": FunctionInputs(SCALE, call=call) for call in (0, 1)}
    with kd.record(model, **sites, bias=FunctionInputs(SCALE, call=-1, items=("bias",))) as seen:
        model(X)
    h = model.body(X)
    torch.testing.assert_close(seen["out0"], scale(h))
    torch.testing.assert_close(seen["out1"], scale(h, 3.0, bias=1.0))
    torch.testing.assert_close(seen["out-1"], seen["out1"])
    assert seen["bias"] == 1.0
    assert {name: value for name, value in seen["in0"].items() if name != "x"} == {
        "factor": 2.0,
        "extra": (),
        "bias": 0.0,
    }
    assert (seen["in1"]["factor"], seen["in1"]["extra"], list(seen["in1"])) == (
        3.0,
        (1, 2),
        ["x", "factor", "extra", "bias"],
    )
    torch.testing.assert_close(seen["in1"]["x"], h)


def test_functions_of_c_with_and_without_names() -> None:
    class Attends(nn.Module):
        def forward(self, q: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, q + 1, value=q + 2)

    q, path = torch.randn(1, 2, 3, 4), "torch.nn.functional.scaled_dot_product_attention"
    with kd.record(Attends(), all=FunctionInputs(path), value=FunctionInputs(path, items=("value",))) as seen:
        Attends()(q)
    assert list(seen["all"]) == [0, 1, "value"]
    torch.testing.assert_close(seen["all"][1], q + 1)
    torch.testing.assert_close(seen["value"], q + 2)
    model = Calls()
    with kd.record(model, root=FunctionInputs("math.sqrt"), out=FunctionOutputs("math.sqrt")) as seen:
        model(X)
    assert (seen["root"], seen["out"]) == ({"x": 4.0}, 2.0)


class Decorated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return called_things.shifted(x, times=2.0)


def test_arguments_of_a_decorated_function_that_shows_other_names() -> None:
    with kd.record(Decorated(), given=FunctionInputs("called_things.shifted")) as seen:
        assert torch.equal(Decorated()(X), 2 * (X + 1))
    torch.testing.assert_close(seen["given"], {0: X, "times": 2.0})


def test_gradients_flow_through_what_was_recorded() -> None:
    model = Calls()
    with kd.record(model, out=FunctionOutputs(SCALE, call=0)) as seen:
        model(X)
    seen["out"].square().sum().backward()
    (wanted,) = torch.autograd.grad(scale(model.body(X)).square().sum(), model.body.weight)
    torch.testing.assert_close(model.body.weight.grad, wanted)


@pytest.mark.parametrize(
    ("items", "more"),
    [
        (("pair", 1), 1),
        (("pair", "mean"), 0),
        (("scored", "boxes"), 2),
        (("scored", "scores", -1), 4),
        (("output", "logits"), 5),
        (("output", "last"), 6),
        (("list", 0, 0), 7),
        (("list", 1, 0), 8),
    ],
)
def test_items_of_whatever_is_returned(items: tuple[int | str, ...], more: int) -> None:
    with kd.record(Everything(), part=FunctionOutputs("called_things.everything", items=items)) as seen:
        Everything()(X)
    torch.testing.assert_close(seen["part"], X + more)


@pytest.mark.parametrize("many", [False, True], ids=["once", "in several recorders"])
def test_in_place_operations_corrupt_neither_outputs_nor_inputs(many: bool) -> None:
    model, path = Overwrites(), "called_things.overwrite"
    sites = {"out": FunctionOutputs(SCALE), "given": FunctionInputs(path, items=("x",)), "after": FunctionOutputs(path)}
    more = {f"{name}2": site for name, site in sites.items()} if many else {}
    with kd.record(model, **sites, **more) as seen:
        model(X)
    before = scale(model.body(X))
    assert (before < 0).any()
    for name in seen:
        wanted = {"out": before, "given": 2 * before.relu(), "after": torch.full((3, 4), 7.0)}[name.rstrip("2")]
        torch.testing.assert_close(seen[name], wanted)


def test_autocast_is_recorded_as_it_runs() -> None:
    model = Calls()
    with torch.autocast("cpu", dtype=torch.bfloat16), kd.record(model, h=FunctionOutputs(SCALE, call=0)) as seen:
        model(X)
        wanted = scale(model.body(X))
    assert seen["h"].dtype == torch.bfloat16
    torch.testing.assert_close(seen["h"], wanted)


def test_the_recording_itself_is_not_recorded() -> None:
    class Clones(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x).clone()

    sites = {name: FunctionOutputs(f"torch.{name}") for name in ("Tensor.clone", "nn.functional.relu")}
    with kd.record(Clones(), **sites, whole="") as seen:
        Clones()(X)
    torch.testing.assert_close(seen["Tensor.clone"], X.relu())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_is_recorded_compiled_before_or_not(backend: str) -> None:
    torch._dynamo.reset()
    model = Calls()
    compiled = torch.compile(model, backend=backend)
    sites = {
        "fn": FunctionOutputs(SCALE, call=1),
        "torch": FunctionInputs("torch.nn.functional.relu", items=("input",)),
    }
    for name in ("fn", "torch", "fn"):
        with kd.record(model, **sites) as wanted:
            output = model(X)
        with kd.record(compiled, **{name: sites[name]}) as seen:
            torch.testing.assert_close(compiled(X), output)
        torch.testing.assert_close(seen[name], wanted[name])
        torch.testing.assert_close(compiled(X), output)
    torch._dynamo.reset()


# Nothing is left behind


def test_nothing_is_left_when_the_model_raises_and_what_was_seen_is_there() -> None:
    sites = {"a": FunctionOutputs(SCALE), "b": FunctionInputs(SCALE), "c": FunctionInputs("called_things.fails")}
    with (
        pytest.raises(ZeroDivisionError),
        kd.record(Fails(), **sites, d=FunctionOutputs("called_things.fails")) as seen,
    ):
        Fails()(X)
    torch.testing.assert_close(seen["a"], 2 * X)
    torch.testing.assert_close(seen["c"], {"x": 2 * X})
    with pytest.raises(StillroomError, match=r"^d: function 'called_things\.fails' was never called"):
        seen["d"]


def test_nothing_is_left_when_a_later_site_is_wrong() -> None:
    with pytest.raises(StillroomError), kd.record(Calls(), a=FunctionOutputs(SCALE), b="nothing"):
        pass


def test_blocks_inside_blocks() -> None:
    model, original = Calls(), called_things.scale
    with kd.record(model, a=FunctionOutputs(SCALE, call=0)) as outer:
        with kd.record(model, a=FunctionOutputs(SCALE, call=0), b=FunctionInputs(SCALE, call=1)) as inner:
            model(X)
        assert called_things.scale is not original
        with kd.record(model, a=FunctionOutputs(SCALE, call=-1)) as last:
            model(X + 1)
    assert called_things.scale is original
    torch.testing.assert_close(outer["a"], inner["a"])
    assert inner["b"]["factor"] == 3.0
    torch.testing.assert_close(last["a"], scale(model.body(X + 1), 3.0, bias=1.0))


# What is refused


def test_a_function_that_does_not_exist_names_the_site() -> None:
    message = "a: called_things has no 'scales'. Did you mean 'scale' or 'Calls' or 'Fails'?"
    with (
        pytest.raises(StillroomError, match=quoted(message)),
        kd.record(Calls(), a=FunctionOutputs("called_things.scales")),
    ):
        pass


def test_a_function_that_was_not_called_says_which_names_are_watched() -> None:
    with kd.record(
        Calls(), a=FunctionOutputs("called_things.fails"), b=FunctionOutputs("torch.Tensor.__add__")
    ) as seen:
        Calls()(X)
    message = (
        "a: function 'called_things.fails' was never called in the forward pass. Calls through called_things.fails are "
        "seen, and none by a list, a closure or a default that holds the function."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["a"]
    message = (
        "b: function 'torch.Tensor.__add__' was never called in the forward pass. What PyTorch calls inside its own "
        "functions is not seen, nor is TorchScript. stillroom.recorders.list_calls(model, x) tells what is, also "
        "of operators (+ is torch.Tensor.add)."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            None,
            "a: function 'called_things.scale' was called 2 times in one forward pass. "
            "Choose one call: call=0 ... call=1.",
        ),
        (
            2,
            "a: function 'called_things.scale' was called less often than asked for; "
            "expected call @2, got 2 call(s), counted from @0.",
        ),
    ],
)
def test_another_number_of_calls(call: int | None, message: str) -> None:
    with kd.record(Calls(), a=FunctionOutputs(SCALE, call=call)) as seen:
        Calls()(X)
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["a"]
