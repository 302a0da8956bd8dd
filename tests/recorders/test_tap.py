"""The hook behind a recorder: by reference where nothing changes the value, a copy where something does."""

from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from recorded_nets import Net, images
from torch import Tensor, nn

import stillroom as kd
from stillroom import ModuleInputs, ModuleOutputs, StillroomError
from stillroom.patching import Patches
from stillroom.recorders import Tap, changed


class Echo(nn.Module):
    """Overwrites its layer's output when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.overwrites = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y.relu_() if self.overwrites else y.relu()


class Row(list[object]):
    pass


class Table(dict[str, object]):
    __getattr__ = dict.__getitem__


class Ordered(OrderedDict[str, object]):
    pass


class Pair(NamedTuple):
    part: object


class SubPair(Pair):
    pass


class Triple(tuple[object, ...]):
    pass


@dataclass
class Loose:
    part: object


@dataclass(frozen=True)
class Frozen:
    part: object


@dataclass(slots=True)
class Slotted:
    part: object


class Slots:
    __slots__ = ("part",)

    def __init__(self, part: object) -> None:
        self.part = part


HOLDERS: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda x: Row([x]), "[0]"),
    (lambda x: Triple([x]), "[0]"),
    (lambda x: deque([x]), "[0]"),
    (lambda x: UserList([x]), "[0]"),
    (lambda x: Table(part=x), "[part]"),
    (lambda x: Ordered(part=x), "[part]"),
    (lambda x: UserDict(part=x), "[part]"),
    (lambda x: MappingProxyType({"part": x}), "[part]"),
    (Pair, "[part]"),
    (SubPair, "[part]"),
    (Loose, "[part]"),
    (Frozen, "[part]"),
    (Slotted, "[part]"),
    (Slots, "[part]"),
    (lambda x: SimpleNamespace(part=x), "[part]"),
    (lambda x: {"part": [Loose((x, 1))]}, "[part][0][part][0]"),
    (lambda x: Loose({"part": [Triple([x])]}), "[part][part][0][0]"),
]
each_holder = pytest.mark.parametrize(("hold", "items"), HOLDERS)


class Holds(nn.Module):
    """Returns its input inside something, and overwrites it afterwards."""

    def __init__(self, hold: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.scale, self.inner = nn.Parameter(torch.ones(1)), Holder(hold)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        self.inner(x)
        return x.mul_(0)


class Holder(nn.Module):
    def __init__(self, hold: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.hold = hold

    def forward(self, x: Tensor) -> object:
        return self.hold(x)


class Rebinds(nn.Module):
    """Puts something else into what its module returned."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Holder(lambda x: {"part": [x * 1]})

    def forward(self, x: Tensor) -> object:
        held = self.inner(x)
        held["part"][0] = torch.zeros(1)
        return held


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def run(tap: Tap, model: nn.Module, x: Tensor) -> Tensor:
    tap.open()
    model(x)
    (value,) = tap.close()
    return value


def test_a_value_that_stays_is_read_by_reference_from_the_second_run_on() -> None:
    model, x = Echo(), torch.randn(4)
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        first, second = run(tap, model, x), run(tap, model, x)
    assert first is not x and torch.equal(first, x)
    assert second is x


def test_a_value_that_is_overwritten_is_always_copied() -> None:
    model = Echo()
    model.overwrites = True
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        for _ in range(3):
            x = torch.tensor([-1.0, 2.0])
            assert run(tap, model, x).tolist() == [-1.0, 2.0]
            assert x.tolist() == [0.0, 2.0]


def test_a_value_that_is_overwritten_later_than_in_the_first_run_is_an_error_once() -> None:
    model = Echo()
    message = (
        "the recorded value was changed in place after the site. "
        "Call prepare() in the mode (train or eval) in which the model runs: the site is copied then."
    )
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        run(tap, model, torch.randn(4))
        model.overwrites = True
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
            run(tap, model, torch.randn(4))
        assert run(tap, model, torch.tensor([-1.0, 2.0])).tolist() == [-1.0, 2.0]


def test_inputs_are_watched_as_well() -> None:
    model, x = Net(), images()
    with Patches() as patches:
        tap = ModuleInputs("act").attach(model, patches)
        for _ in range(2):
            assert (run(tap, model, x) < 0).any()


def test_inference_mode_is_no_hindrance() -> None:
    model, x = Net(), images()
    with Patches() as patches, torch.inference_mode():
        tap = ModuleOutputs("norm").attach(model, patches)
        for _ in range(2):
            assert (run(tap, model, x) < 0).any()


def test_a_closed_tap_holds_nothing() -> None:
    model = Net()
    with Patches() as patches:
        tap = ModuleOutputs("conv").attach(model, patches)
        model(images())
        assert tap.calls == []
        tap.open()
        model(images())
        tap.forget()
        assert tap.calls == []
        tap.open()
        assert tap.close() == []


def test_a_copy_of_a_hooked_model_records_nothing() -> None:
    model, x = Net().eval(), images()
    with Patches() as patches:
        taps = [ModuleOutputs("conv").attach(model, patches), ModuleInputs("act").attach(model, patches)]
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            for tap in taps:
                tap.open()
            torch.testing.assert_close(other(x), model(x))
            assert [len(tap.close()) for tap in taps] == [1, 1]


# Whatever holds them


@each_holder
def test_a_tensor_is_copied_whatever_holds_it(hold: Callable[[Tensor], object], items: str) -> None:
    model = Holds(hold)
    with kd.record(model, part=f"inner{items}") as seen:
        model(torch.full((1,), 7.0))
    assert seen["part"].item() == 7


@each_holder
def test_a_distiller_copies_it_as_well(hold: Callable[[Tensor], object], items: str) -> None:
    term = kd.Term(kd.losses.L2(), student=f"inner{items}", teacher="inner")
    distiller = kd.Distiller(Holds(hold), Named(), terms={"same": term})
    x = torch.full((1, 1), 7.0)
    distiller.prepare(x)
    assert [distiller(x).loss.item() for _ in range(3)] == [0, 0, 0]


def test_what_is_put_into_a_container_later_is_not_what_was_recorded() -> None:
    term = kd.Term(kd.losses.L2(), student="inner[part][0]", teacher="inner")
    distiller = kd.Distiller(Rebinds(), Named(), terms={"same": term})
    x = torch.full((1, 1), 7.0)
    distiller.prepare(x)
    assert [distiller(x).loss.item() for _ in range(3)] == [0, 0, 0]


def test_what_holds_no_tensor_stays_the_same_object_and_circles_end() -> None:
    bare, around, model = Loose([1, 2]), Loose(None), Named()
    around.part = {"x": torch.ones(1), "bare": bare, "model": model, "self": around, "call": print}
    other = changed(around, Tensor.clone)
    assert other is not around and other.part is not around.part
    assert torch.equal(other.part["x"], around.part["x"]) and other.part["x"] is not around.part["x"]
    assert (other.part["bare"], other.part["model"], other.part["call"]) == (bare, model, print)
    assert other.part["bare"] is bare and changed(bare, Tensor.clone) is bare
