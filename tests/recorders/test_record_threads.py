"""Two threads record at once, and neither sees what the other does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import called_things
import pytest
import torch
from called_things import Calls, vectors
from recorded_nets import hooks

import stillroom as kd
from stillroom import (
    FunctionInputs,
    FunctionOutputs,
    Gradients,
    MethodOutputs,
    ModuleInputs,
    ModuleOutputs,
    StillroomError,
)

SITES = {
    "function": FunctionOutputs("called_things.scale", call=0),
    "arguments": FunctionInputs("called_things.scale", call=0, items=("x",)),
    "torch": FunctionOutputs("torch.nn.functional.relu"),
    "method": MethodOutputs("called_things.Head.apply", call=0),
    "outputs": ModuleOutputs("body"),
    "inputs": ModuleInputs("body"),
    "gradients": Gradients("body"),
}


def in_turns(*steps: Callable[[], None]) -> None:
    """The steps one after the other; those at odd places in another thread, all in the same."""
    done = [threading.Event() for _ in steps]
    errors: list[BaseException] = []

    def work() -> None:
        for index in range(1, len(steps), 2):
            done[index - 1].wait(10)
            try:
                steps[index]()
            except BaseException as error:
                errors.append(error)
            done[index].set()

    thread = threading.Thread(target=work)
    thread.start()
    for index in range(0, len(steps), 2):
        if index:
            done[index - 1].wait(10)
        steps[index]()
        done[index].set()
    thread.join(10)
    assert not errors, errors


@pytest.mark.parametrize("kind", SITES)
@pytest.mark.parametrize("shared", [True, False], ids=["one model", "two models"])
def test_interleaved_recordings_see_their_own_calls(kind: str, shared: bool) -> None:
    torch.manual_seed(0)
    one, originals = Calls(), (called_things.scale, called_things.Head.__dict__["apply"])
    two = one if shared else Calls()
    blocks = [kd.record(one, v=SITES[kind]), kd.record(two, v=SITES[kind])]
    seen: list[kd.recorders.Recorded] = []
    x, y = vectors(2), vectors(5)
    in_turns(
        lambda: seen.append(blocks[0].__enter__()),
        lambda: seen.append(blocks[1].__enter__()),
        lambda: one(x).sum().backward(),
        lambda: two(y).sum().backward(),
        lambda: blocks[0].__exit__(None, None, None),
        lambda: seen[1]["v"],  # still recording, and no call of the other thread came in
        lambda: one(x),
        lambda: blocks[1].__exit__(None, None, None),
    )
    assert len(seen[0]["v"]) == 2 and len(seen[1]["v"]) == 5
    assert (called_things.scale, called_things.Head.__dict__["apply"]) == originals
    assert hooks(one) == hooks(two) == 0


def test_calls_of_another_thread_alone_are_no_calls() -> None:
    model = Calls()
    with kd.record(model, **SITES) as seen:
        thread = threading.Thread(target=lambda: model(vectors()))
        thread.start()
        thread.join()
    for name in SITES:
        with pytest.raises(StillroomError, match=f"^{name}: .* was never called in the forward pass"):
            seen[name]
