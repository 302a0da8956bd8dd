"""Functions are intercepted under every name, in one thread, and put back as they were."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import patched_things
import pytest
import torch
from patched_things import Log, entries

from stillroom.patching import find_function


def test_a_function_is_intercepted_and_is_the_very_same_again() -> None:
    before, log = entries(), Log()
    leave = find_function("patched_things.double").enter(log)
    assert patched_things.double is not before["double"]
    assert patched_things.double.__name__ == "double"
    assert patched_things.double(3, times=4) == 12
    leave()
    assert patched_things.double(3) == 6
    assert log.calls == [((3,), {"times": 4})]
    assert entries() == before and patched_things.double is before["double"]


def test_recursion_is_seen_call_by_call() -> None:
    log = Log()
    leave = find_function("patched_things.factorial").enter(log)
    assert patched_things.factorial(3) == 6
    leave()
    assert [args for args, _ in log.calls] == [(3,), (2,), (1,)]


def test_functions_of_c_and_cached_ones() -> None:
    before, logs = entries(), (Log(), Log())
    leave = [
        find_function(path).enter(log) for path, log in zip(("math.sqrt", "patched_things.cached"), logs, strict=True)
    ]
    assert (math.sqrt(9), patched_things.root(4), patched_things.cached(1)) == (3, 2, 2)
    for undo in reversed(leave):
        undo()
    assert [[args for args, _ in log.calls] for log in logs] == [[(9,), (4,)], [(1,)]]
    assert math.sqrt is patched_things.root is before["root"]
    assert patched_things.cached is before["cached"]


def test_the_last_to_enter_is_asked_first_and_any_may_answer() -> None:
    order: list[str] = []
    target = find_function("patched_things.double")
    outer = target.enter(lambda proceed, *_: order.append("outer") or proceed() + 1)
    inner = find_function("patched_things.double").enter(lambda proceed, *_: order.append("inner") or proceed() * 10)
    assert patched_things.double(3) == 70
    assert order == ["inner", "outer"]
    inner()
    assert patched_things.double(3) == 7
    answering = target.enter(lambda *_: -1)
    assert (patched_things.double(3), order) == (-1, ["inner", "outer", "outer"])
    answering()
    outer()
    assert patched_things.double(3) == 6


def test_leaving_twice_is_harmless() -> None:
    before = patched_things.double
    leave = find_function("patched_things.double").enter(Log())
    leave()
    leave()
    assert patched_things.double is before


def test_what_somebody_else_puts_there_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patched_things, "double", patched_things.double)
    leave = find_function("patched_things.double").enter(Log())
    patched_things.double = abs
    leave()
    assert patched_things.double is abs


# However it is imported


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "made_here.py").write_text("def triple(x):\n    return 3 * x\n")
    (tmp_path / "used_here.py").write_text(
        "import made_here\nfrom made_here import triple\nfrom made_here import triple as t\n"
        "def use(x):\n    return made_here.triple(x) + triple(x) + t(x)\n"
        "def lazily(x):\n    from made_here import triple as inside\n    return inside(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("made_here", "used_here"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return ["made_here", "used_here"]


@pytest.mark.parametrize("path", ["made_here.triple", "used_here.triple", "used_here.t"])
def test_a_function_is_seen_under_every_name_in_every_module(modules: list[str], path: str) -> None:
    made, used = map(importlib.import_module, modules)
    triple, log = made.triple, Log()
    target = find_function(path)
    leave = target.enter(log)
    assert (used.use(1), used.lazily(5)) == (9, 15)
    leave()
    assert [args for args, _ in log.calls] == [(1,), (1,), (1,), (5,)]
    assert made.triple is used.triple is used.t is triple
    for name in ("made_here.triple", "used_here.triple", "used_here.t"):
        assert name in target.blind_spot


def test_a_module_that_is_imported_meanwhile_does_no_harm(modules: list[str]) -> None:
    made, log = importlib.import_module(modules[0]), Log()
    triple = made.triple
    leave = find_function("made_here.triple").enter(log)
    used = importlib.import_module("used_here")
    assert used.use(1) == 9
    leave()
    assert (len(log.calls), used.use(1)) == (3, 9)
    assert made.triple is triple
    again, more = find_function("used_here.t"), Log()
    leave = again.enter(more)
    assert (used.use(2), len(more.calls), len(log.calls)) == (18, 3, 3)
    leave()
    assert (used.use(2), len(more.calls)) == (18, 3)


def test_a_name_that_a_module_gives_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_names.py").write_text(
        "_all = [lambda x: -x]\ndef __getattr__(name):\n"
        "    if name == 'negate':\n        return _all[0]\n    raise AttributeError(name)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    lazy, log = importlib.import_module("lazy_names"), Log()
    leave = find_function("lazy_names.negate").enter(log)
    assert (lazy.negate(2), len(log.calls)) == (-2, 1)
    leave()
    assert "negate" not in vars(lazy)
    assert (lazy.negate(2), len(log.calls)) == (-2, 1)


def test_a_function_of_the_script_itself(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import torch
            from torch import nn
            import stillroom as kd

            def triple(x):
                return 3 * x

            class Net(nn.Module):
                def forward(self, x):
                    return triple(x) + self.half(x)
                def half(self, x):
                    return x / 2

            before = triple
            sites = {"fn": kd.FunctionOutputs("__main__.triple"), "method": kd.MethodOutputs("__main__.Net.half")}
            with kd.record(Net(), **sites) as seen:
                Net()(torch.ones(2))
            print(seen["fn"].tolist(), seen["method"].tolist(), triple is before)
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "[3.0, 3.0] [0.5, 0.5] True\n"


# Threads


def test_threads_interleave_on_one_function_and_see_their_own_calls_only() -> None:
    before = patched_things.double
    mine, theirs, turn = Log(), Log(), threading.Barrier(2, timeout=10)

    def other() -> None:
        turn.wait()  # the first is in
        leave = find_function("patched_things.double").enter(theirs)
        patched_things.double(10)
        turn.wait()  # both are in
        turn.wait()  # the first is out
        patched_things.double(11)
        leave()
        turn.wait()

    thread = threading.Thread(target=other)
    thread.start()
    leave = find_function("patched_things.double").enter(mine)
    patched_things.double(1)
    turn.wait()
    turn.wait()
    patched_things.double(2)
    leave()
    patched_things.double(3)
    assert patched_things.double is not before
    turn.wait()
    turn.wait()
    thread.join()
    assert [args for args, _ in mine.calls] == [(1,), (2,)]
    assert [args for args, _ in theirs.calls] == [(10,), (11,)]
    assert patched_things.double is before


def test_many_threads_at_once_leave_the_original() -> None:
    before = patched_things.double
    target, counts = find_function("patched_things.double"), [0] * 8

    def work(index: int) -> None:
        for _ in range(200):
            log = Log()
            leave = target.enter(log)
            patched_things.double(index)
            leave()
            counts[index] += log.calls == [((index,), {})]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [200] * 8
    assert patched_things.double is before


# PyTorch's functions that it does not dispatch


def test_functions_of_torch_that_take_no_tensors() -> None:
    before, log = torch.initial_seed, Log()
    leave = find_function("torch.initial_seed").enter(log)
    assert torch.initial_seed() == torch.random.initial_seed()
    leave()
    assert len(log.calls) == 2
    assert torch.initial_seed is torch.random.initial_seed is before
