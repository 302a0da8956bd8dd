"""A part of what was returned is put into a copy of it; the original stays."""

from __future__ import annotations

import re
from collections import OrderedDict, UserList
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from stillroom import StillroomError
from stillroom.recorders import pick, replaced


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Loose:
    part: Any
    rest: Any = "rest"


@dataclass(frozen=True)
class Frozen:
    part: Any
    rest: Any = "rest"


class ModelOutput(OrderedDict[str, Any]):
    """As Hugging Face's: keys are attributes too."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)


def model_output() -> ModelOutput:
    made = ModelOutput()
    made["part"], made["rest"] = 1, "rest"
    return made


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ((1, "rest"), (0,)),
        ((0, 1), (-1,)),
        ([1, "rest"], (0,)),
        (UserList([1, 2]), (1,)),
        ({"part": 1, "rest": "rest"}, ("part",)),
        ({0: 1}, (0,)),
        (Pair(1, 2), ("second",)),
        (Pair(1, 2), (1,)),
        (Loose(1), ("part",)),
        (Frozen(1), ("part",)),
        (SimpleNamespace(part=1), ("part",)),
        (model_output(), ("part",)),
        (MappingProxyType({"part": 1}), ("part",)),
        ({"a": [Pair(1, Loose((1, 2)))]}, ("a", 0, "second", "part", 1)),
        ("all of it", ()),
    ],
)
def test_the_part_is_another_and_the_rest_is_as_it_was(value: Any, items: tuple[int | str, ...]) -> None:
    before, part = pick(value, items), object()
    changed = replaced(value, items, part)
    assert pick(changed, items) is part
    assert pick(value, items) is before
    if items:
        assert type(changed) is type(value)
        assert replaced(changed, items, before) == value


def test_an_attribute_of_a_models_output_is_another_too() -> None:
    value = model_output()
    changed = replaced(value, ("part",), 5)
    assert (changed["part"], changed.part, changed.rest) == (5, 5, "rest")
    assert (value["part"], value.part) == (1, 1)


def test_a_named_item_of_what_pytorch_returns() -> None:
    value = torch.max(torch.tensor([[1.0, 2.0]]), dim=1)
    changed = replaced(value, ("indices",), torch.tensor([5]))
    assert (type(changed), changed.values.item(), changed.indices.item()) == (type(value), 2, 5)


def test_a_position_in_a_models_output_that_counts_them() -> None:
    class Counted(ModelOutput):
        def to_tuple(self) -> tuple[Any, ...]:
            return tuple(self.values())

    value = Counted()
    value["logits"], value["hidden"] = 1, 2
    assert (pick(value, (0,)), pick(value, (-1,))) == (1, 2)
    changed = replaced(value, (1,), 3)
    assert dict(changed) == {"logits": 1, "hidden": 3} and changed.hidden == 3
    message = "the recorded value has no item [2]; got a Counted with logits, hidden. There are: hidden, logits."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        pick(value, (2,))


def test_what_is_not_on_the_way_is_not_copied() -> None:
    tensor, inner = torch.ones(2), {"x": nn.Identity()}
    changed = replaced({"a": (1, tensor), "b": inner}, ("a", 0), 2)
    assert changed["a"][1] is tensor and changed["b"] is inner


def test_a_part_that_is_not_there() -> None:
    message = "the recorded value has no item [mask]; got a dict with masks. Did you mean 'masks'?"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        replaced(({"masks": 1},), (0, "mask"), 2)
