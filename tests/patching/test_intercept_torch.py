"""PyTorch's own functions, however the caller came by them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from patched_things import Log
from torch import Tensor
from torch.nn import functional as F
from torch.nn.functional import relu as r
from torch.nn.functional import scaled_dot_product_attention as attend

from stillroom.patching import find_function, find_method, torch_calls

X = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
Q = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))

HELD = [torch.rand]


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("torch.nn.functional.relu", lambda: F.relu(X)),
        ("torch.nn.functional.relu", lambda: r(X)),
        ("torch.nn.functional.relu", lambda: torch.nn.ReLU()(X)),
        ("torch.relu", lambda: torch.relu(X)),
        ("torch.Tensor.relu", lambda: X.relu()),
        ("torch.Tensor.add", lambda: X + X),
        ("torch.Tensor.add", lambda: 1 + X),
        ("torch.Tensor.add", lambda: X.add(1)),
        ("torch.Tensor.matmul", lambda: X @ X.T),
        ("torch.Tensor.__pow__", lambda: X**2),
        ("torch.rand", lambda: torch.rand(2, 3)),
        ("torch.rand", lambda: HELD[0]((2,))),
        ("torch.zeros", lambda: torch.zeros(2)),
        ("torch.tensor", lambda: torch.tensor([1.0])),
        ("torch.nn.functional.scaled_dot_product_attention", lambda: F.scaled_dot_product_attention(Q, Q, Q)),
        ("torch.nn.functional.scaled_dot_product_attention", lambda: attend(Q, Q, Q, is_causal=True)),
        ("torch.einsum", lambda: torch.einsum("ij->ji", X)),
        ("torch.linalg.norm", lambda: torch.linalg.norm(X)),
        ("torch.ops.aten.relu", lambda: torch.ops.aten.relu(X)),
    ],
)
def test_a_function_is_seen_however_it_is_called(path: str, call: Callable[[], Tensor]) -> None:
    log = Log()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wanted = call()
        torch.manual_seed(0)
        leave = find_function(path).enter(log)
        found = call()
        leave()
        call()
    assert torch.equal(found, wanted)
    assert len(log.calls) == 1


def test_a_method_of_tensors_is_found_as_a_method_too() -> None:
    log = Log()
    leave = find_method("torch.Tensor.relu").enter(log)
    X.relu()
    leave()
    assert [args[0] is X for args, _ in log.calls] == [True]


def test_what_a_function_of_pytorch_calls_inside_is_not_seen() -> None:
    logs = Log(), Log()
    leave = [
        find_function(path).enter(log)
        for path, log in zip(("torch.relu", "torch.nn.functional.relu"), logs, strict=True)
    ]
    F.relu(X)
    for undo in reversed(leave):
        undo()
    assert [len(log.calls) for log in logs] == [0, 1]


def test_an_answer_takes_the_place_of_the_call() -> None:
    leave = find_function("torch.rand").enter(lambda *_: X)
    state = torch.get_rng_state()
    assert torch.rand(7) is X
    assert torch.equal(torch.get_rng_state(), state)
    leave()
    assert torch.rand(7).shape == (7,)


def test_other_threads_are_not_seen() -> None:
    log = Log()
    leave = find_function("torch.nn.functional.relu").enter(log)
    thread = threading.Thread(target=lambda: F.relu(X))
    thread.start()
    thread.join()
    assert log.calls == []
    F.relu(X)
    leave()
    assert len(log.calls) == 1


def test_every_call_of_pytorch_is_told_by_its_path() -> None:
    seen: list[str] = []
    with torch_calls(seen.append):
        (F.relu(X) + X).sum()
    F.relu(X)
    assert seen == ["torch.nn.functional.relu", "torch.Tensor.add", "torch.Tensor.sum"]
    for path in seen:
        find_function(path)
