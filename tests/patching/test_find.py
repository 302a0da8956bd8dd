"""Paths that lead nowhere, or to what cannot be intercepted: the whole of each message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stillroom import StillroomError
from stillroom.patching import find_function, find_method


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sqrt", "this is no path of a function; expected package.module.name, got 'sqrt'."),
        ("a b.c", "this is no path of a function; expected package.module.name, got 'a b.c'."),
        (
            "patched_thing.double",
            "cannot import 'patched_thing'; got patched_thing.double. "
            "Check the spelling; a module of your own must lie in the working directory or be installed.",
        ),
        ("patched_things.dubble", "patched_things has no 'dubble'. Did you mean 'double'?"),
        ("torch.nn.functional.rely", "torch.nn.functional has no 'rely'. Did you mean 'relu' or 'rrelu' or 'relu_'?"),
        ("math.sqrt.x", "sqrt has no 'x'. There are: ."),
        (
            "builtins.len",
            "builtins.len is one of Python's own functions, which everything calls. "
            "Wrap it in a function of your own and name that: def my_len(...).",
        ),
        (
            "patched_things.Base",
            "patched_things.Base is a class; expected package.module.function. Name one of its methods, as a method.",
        ),
        (
            "patched_things.Base.plain",
            "patched_things.Base.plain belongs to a class; expected a function of a module. "
            "Methods have recorders of their own.",
        ),
        ("torch.Tensor.T", "torch.Tensor.T is a property, which nobody calls. Name the method behind it."),
        ("patched_things.LIMIT", "patched_things.LIMIT is no function; got int."),
        ("patched_things.math", "patched_things.math is no function; got module."),
        ("torch.pi", "torch.pi is no function; got float."),
    ],
)
def test_no_function(path: str, message: str) -> None:
    with pytest.raises(StillroomError) as caught:
        find_function(path)
    assert str(caught.value) == message.replace(" There are: .", "")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("patched_things.Base.plane", "Base has no 'plane'. Did you mean 'plain'?"),
        (
            "patched_things.double",
            "patched_things.double belongs to no class; expected package.module.Class.method.",
        ),
        (
            "patched_things.Base.shown",
            "patched_things.Base.shown is a property, which nobody calls. Name the method behind it.",
        ),
        ("patched_things.Base.size", "patched_things.Base.size is no method; got int."),
        ("patched_things.Base.root", "patched_things.Base.root is no method; got builtin_function_or_method."),
        (
            "called_things.Head.double",
            "called_things.Head.double is a property, which nobody calls. Name the method behind it.",
        ),
        ("torch.Tensor.shape", "torch.Tensor.shape is a property, which nobody calls. Name the method behind it."),
        (
            "torch.Generator.manual_seed",
            "Generator is a class of C, whose methods cannot be replaced. "
            "Call it in a method or function of your own and name that.",
        ),
        (
            "builtins.dict.get",
            "dict is a class of C, whose methods cannot be replaced. "
            "Call it in a method or function of your own and name that.",
        ),
        (
            "patched_things.LIMIT.real",
            "patched_things.LIMIT.real hangs on an object; expected a function of a module or a method of a class.",
        ),
    ],
)
def test_no_method(path: str, message: str) -> None:
    with pytest.raises(StillroomError, match=quoted(message)):
        find_method(path)


def test_a_module_in_the_place_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "holds_a_module.py").write_text("from torch import nn\nact = nn.ReLU()\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = "holds_a_module.act is a module. Name its place in the model instead."
    with pytest.raises(StillroomError, match=quoted(message)):
        find_function("holds_a_module.act")


def test_a_module_that_lacks_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacks_something.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = "lacks_something cannot be imported: No module named 'not_there_at_all'; got lacks_something."
    with pytest.raises(StillroomError, match=quoted(message)):
        find_function("lacks_something.f")
