"""Methods are intercepted in their class and in subclasses, and every class is as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from patched_things import Base, Heir, Log, Other, entries
from torch import nn

from stillroom.patching import find_method


def watched(path: str, use: Callable[[], object]) -> tuple[object, Log]:
    """What a use returns while a method is intercepted; nothing may differ afterwards."""
    before, log = entries(), Log()
    leave = find_method(path).enter(log)
    found = use()
    assert entries().keys() >= before.keys() and entries() != before
    leave()
    after = entries()
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    return found, log


@pytest.mark.parametrize("name", ["plain", "static", "made"])
def test_every_kind_of_method_in_its_class_inherited_and_overridden(name: str) -> None:
    wanted = [getattr(cls(), name)(1) for cls in (Base, Heir, Other)]
    found, log = watched(
        f"patched_things.Base.{name}", lambda: [getattr(cls(), name)(1) for cls in (Base, Heir, Other)]
    )
    assert found == wanted
    assert log.calls == [((1,), {})] * 3
    assert getattr(Other(), name)(1).startswith("Other.")


@pytest.mark.parametrize("name", ["static", "made"])
def test_methods_called_on_the_class(name: str) -> None:
    found, log = watched(f"patched_things.Base.{name}", lambda: getattr(Other, name)(x=2))
    assert found == getattr(Other, name)(2)
    assert log.calls == [((), {"x": 2})]


@pytest.mark.parametrize("name", ["plain", "static", "made"])
def test_an_inherited_method_is_intercepted_in_the_heir_alone(name: str) -> None:
    found, log = watched(
        f"patched_things.Heir.{name}", lambda: [getattr(cls(), name)(1) for cls in (Heir, Base, Other)]
    )
    assert found == [getattr(cls(), name)(1) for cls in (Heir, Base, Other)]
    assert log.calls == [((1,), {})]
    assert name not in vars(Heir)


@pytest.mark.parametrize("paths", [("Base", "Heir"), ("Heir", "Base")])
@pytest.mark.parametrize("name", ["plain", "static", "made"])
@pytest.mark.parametrize("early", [True, False], ids=["found before", "found in between"])
def test_parent_and_heir_are_intercepted_at_once(paths: tuple[str, str], name: str, early: bool) -> None:
    before, logs = entries(), [Log(), Log()]
    targets = [find_method(f"patched_things.{cls}.{name}") for cls in paths] if early else []
    leave = []
    for index, (cls, log) in enumerate(zip(paths, logs, strict=True)):
        target = targets[index] if early else find_method(f"patched_things.{cls}.{name}")
        assert str(target.signature) in {"(x: 'int', k: 'int' = 1) -> 'str'", "(x: 'int') -> 'str'"}
        leave.append(target.enter(log))
    assert getattr(Heir(), name)(7) == ("Heir.made(7)" if name == "made" else f"Base.{name}(7, 1)")
    assert [log.calls for log in logs] == [[((7,), {})]] * 2
    leave.pop()()
    getattr(Heir(), name)(8)
    assert [len(log.calls) for log in logs] == [2, 1]
    leave.pop()()
    after = entries()
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def test_the_first_to_enter_may_stay_after_the_heirs_target_was_found_in_between() -> None:
    outer = find_method("patched_things.Heir.plain").enter(Log())
    found_meanwhile, log = find_method("patched_things.Base.plain"), Log()
    outer()
    leave = found_meanwhile.enter(log)
    assert Heir().plain(1) == "Base.plain(1, 1)"
    assert len(log.calls) == 1
    leave()
    assert "plain" not in vars(Heir)


def test_recursion_is_seen_call_by_call_and_instances_together() -> None:
    one, two = Base(), Heir()
    found, log = watched("patched_things.Base.count", lambda: (one.count(2), two.count(1)))
    assert found == (0, 0)
    assert [args for args, _ in log.calls] == [(2,), (1,), (0,), (1,), (0,)]


def test_one_instance_within_the_call_of_another_is_seen() -> None:
    class Outer(Base):
        def plain(self, x: int, k: int = 1) -> str:
            return Base().plain(x, k)

    log = Log()
    leave = find_method("patched_things.Base.plain").enter(log)
    Outer().plain(5)
    leave()
    assert [args for args, _ in log.calls] == [(5, 1), (5, 1)] or [args for args, _ in log.calls] == [(5,), (5, 1)]


def test_a_call_that_raises_is_forgotten() -> None:
    log = Log()
    leave = find_method("patched_things.Base.count").enter(log)
    with pytest.raises(TypeError):
        Base().count("a")
    Base().count(0)
    leave()
    assert [args for args, _ in log.calls] == [("a",), (0,)]


def test_forward_and_call_of_modules() -> None:
    layer, logs = nn.Identity(), (Log(), Log())
    had = "__call__" in vars(nn.Identity)
    leave = [
        find_method(f"torch.nn.Identity.{name}").enter(log)
        for name, log in zip(("forward", "__call__"), logs, strict=True)
    ]
    assert layer(3) == 3
    for undo in reversed(leave):
        undo()
    assert layer(3) == 3
    assert [log.calls for log in logs] == [[((3,), {})], [((3,), {})]]
    assert not had and "__call__" not in vars(nn.Identity)


@pytest.mark.parametrize(
    ("path", "names"), [("Base.plain", ["x", "k"]), ("Other.static", ["x", "k"]), ("Heir.made", ["x"])]
)
def test_the_signature_is_without_self_also_while_another_watches(path: str, names: list[str]) -> None:
    leave = find_method(f"patched_things.{path}").enter(Log())
    signature = find_method(f"patched_things.{path}").signature
    leave()
    assert isinstance(signature, inspect.Signature) and list(signature.parameters) == names
