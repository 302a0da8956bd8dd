"""A loss beside its plain formula, on the same random tensors, and the check that they agree."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from works import Shapes, Work, drawn, leaves, mapped

OURS, PLAIN = "ours", "plain"
TOLERANCE = 1e-6  # of float64


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A loss and its plain formula.

    Attributes:
        ours: makes our loss for the shapes of one call.
        plain: called as our loss is; if it has an argument ``like``, that is a copy of our loss, for its weights.
        works: what both are timed on.
        draw: a side of a call, from its shapes.
        teacher: the shapes of the teacher's side, where they are not those of the student's.
        context: further arguments of a call, from its shapes; labels are drawn for any loss that takes them.
    """

    ours: Callable[[Any], nn.Module]
    plain: Callable[..., Tensor]
    works: tuple[Work, ...]
    draw: Callable[[Shapes], Any] = drawn
    teacher: Callable[[Shapes], Shapes] = field(default=lambda shapes: shapes)
    context: Callable[[Any], Mapping[str, Any]] = field(default=lambda _: {})


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison: what it computes, and by what it differentiates."""

    value: Callable[[], Tensor]
    leaves: list[Tensor]

    def forget(self) -> None:
        for leaf in self.leaves:
            leaf.grad = None

    def step(self) -> Tensor:
        """Forward and backward; the gradients are new."""
        self.forget()
        value = self.value()
        value.backward()
        return value.detach()


def arms(pair: Pair, work: Work, dtype: torch.dtype = torch.float32) -> dict[str, Arm]:
    """Both sides on the same random tensors and with the same weights; each has copies of its own."""
    torch.manual_seed(0)
    calls = [Call(pair, shapes, dtype) for shapes in work.calls]
    return {name: _arm([call.side(pair, name) for call in calls]) for name in (OURS, PLAIN)}


class Call:
    """The random numbers of one call."""

    def __init__(self, pair: Pair, shapes: Shapes, dtype: torch.dtype) -> None:
        self.loss = pair.ours(shapes).to(dtype)
        self.student, self.teacher = (_in(dtype, pair.draw(side)) for side in (shapes, pair.teacher(shapes)))
        self.operands = inspect.signature(self.loss.forward).parameters
        labels = {"labels": torch.randint(shapes[1], shapes[:1])} if "labels" in self.operands else {}
        self.context = {**labels, **{name: _in(dtype, value) for name, value in pair.context(shapes).items()}}

    def side(self, pair: Pair, name: str) -> tuple[Callable[[], Tensor], list[Tensor]]:
        loss, student = copy.deepcopy(self.loss), mapped(lambda x: x.clone().requires_grad_(), self.student)
        function = loss if name == OURS else pair.plain
        if name == PLAIN and "like" in inspect.signature(pair.plain).parameters:
            function = partial(pair.plain, like=loss)
        sides = (student, self.teacher) if "teacher" in self.operands else (student,)
        return partial(function, *sides, **self.context), [*leaves(student), *loss.parameters()]


def _arm(calls: list[tuple[Callable[[], Tensor], list[Tensor]]]) -> Arm:
    def value() -> Tensor:
        return torch.stack([function() for function, _ in calls]).sum()

    return Arm(value=value, leaves=[leaf for _, own in calls for leaf in own])


def _in(dtype: torch.dtype, value: Any) -> Any:
    """Tensors and modules in that type; whole numbers stay."""
    if isinstance(value, list):
        return [_in(dtype, item) for item in value]
    if isinstance(value, nn.Module) or (isinstance(value, Tensor) and value.is_floating_point()):
        return value.to(dtype)
    return value


def expect_agreement(both: Mapping[str, Arm], tolerance: float = TOLERANCE) -> None:
    """Computes both once, with the same random draws.

    Raises:
        AssertionError: values differ by more than ``tolerance`` of them, or one gradient from the other by more than
            ``tolerance`` of its norm.
    """
    values: dict[str, Tensor] = {}
    for name, arm in both.items():
        torch.manual_seed(1)
        values[name] = arm.step()
    torch.testing.assert_close(values[OURS], values[PLAIN], rtol=tolerance, atol=0)
    for place, (a, b) in enumerate(zip(both[OURS].leaves, both[PLAIN].leaves, strict=True)):
        of_ours, of_plain = (torch.zeros_like(x) if x.grad is None else x.grad for x in (a, b))
        difference, size = float((of_ours - of_plain).norm()), float(of_plain.norm())
        assert difference <= tolerance * size, f"gradient {place}: they differ by {difference}, of a norm of {size}"
