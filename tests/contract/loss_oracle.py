"""Feeds a reference with a sample, and takes its slopes by small steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from loss_runs import alone
from loss_samples import Sample
from loss_subjects import Subject
from numpy.typing import NDArray
from torch import Tensor, nn

_STEP = 1e-5
_DIRECTIONS = 8


def arrays(tree: Any) -> Any:
    """Tensors as arrays, of a module those that it holds by name, and anything else as it is."""
    if isinstance(tree, Tensor):
        return tree.detach().numpy().copy()
    if isinstance(tree, nn.Module):
        return {name: arrays(value) for name, value in tree.state_dict().items()}
    return type(tree)(arrays(item) for item in tree) if isinstance(tree, tuple | list) else tree


class Oracle:
    """The reference of one subject at one sample; its arrays are changed in place when slopes are taken."""

    def __init__(self, subject: Subject, loss: nn.Module, sample: Sample) -> None:
        self.student, self.teacher = arrays(sample.student), arrays(sample.teacher)
        self.state, held = ({name: arrays(value) for name, value in loss.state_dict().items()} for _ in range(2))
        offered: dict[str, Any] = {
            "state": self.state,
            "fixed": SimpleNamespace(student=arrays(sample.student), teacher=arrays(sample.teacher), state=held),
        }
        if subject.case.drawn is not None:
            with alone(loss):
                offered["drawn"] = arrays(subject.case.drawn(loss, sample))
        wanted = inspect.signature(subject.reference).parameters
        self._keywords = {name: value for name, value in offered.items() if name in wanted}
        self.context = {name: arrays(value) for name, value in sample.context.items()}
        self._keywords |= self.context | subject.arguments
        self._reference, self._operands = subject.reference, len(sample.sides)

    def value(self) -> NDArray[np.float64]:
        sides = (self.student, self.teacher)[: self._operands]
        return np.asarray(self._reference(*sides, **self._keywords), dtype=np.float64)

    def slopes(self, of: Any, cotangent: NDArray[np.float64]) -> list[Slopes]:
        """How ``sum(cotangent * value)`` rises with every array of ``of``, one of this oracle's sides or states."""
        several = of if isinstance(of, tuple) else (of,)
        return [_slopes(lambda: float((cotangent * self.value()).sum()), array) for array in several]


class Slopes(NamedTuple):
    """Along some directions of unit length, which stand below each other."""

    directions: NDArray[np.float64]
    values: NDArray[np.float64]


def _slopes(function: Callable[[], float], at: NDArray[np.float64]) -> Slopes:
    """Along each axis where those are few; else along random directions, which leave no component out."""
    few = at.size <= _DIRECTIONS
    drawn = np.eye(at.size) if few else np.random.default_rng(0).standard_normal((_DIRECTIONS, at.size))
    directions = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    here, values = at.copy(), []
    for direction in directions:
        step = _STEP * direction.reshape(at.shape)
        at[...] = here + step
        above = function()
        at[...] = here - step
        values.append((above - function()) / (2 * _STEP))
    at[...] = here
    return Slopes(directions, np.array(values))
