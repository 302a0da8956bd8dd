"""What a student's feature goes through before it can be compared with a teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from stillroom import connectors
from stillroom.connectors import Conv1x1, ConvNormAct, Linear, MapToTokens, Pool, Resize, TokensToMap, infer
from stillroom.diagnosis.layout import Shape
from stillroom.diagnosis.stages import Stage


@dataclass(frozen=True)
class Step:
    """A connector and its arguments, as a recipe writes them.

    Attributes:
        kind: its class.
        arguments: by name.
    """

    kind: type[nn.Module]
    arguments: dict[str, Any]

    def make(self) -> nn.Module:
        return self.kind(**self.arguments)

    def plain(self) -> dict[str, Any]:
        name = self.kind.__name__
        own = getattr(connectors, name, None) is self.kind
        return {"class_path": name if own else f"torch.nn.{name}", "init_args": self.arguments}

    def __str__(self) -> str:
        """Widths as they are, other arguments with their names."""
        said = [str(v) if k.startswith(("in_", "out_")) else f"{k}={v}" for k, v in self.arguments.items()]
        return f"{self.kind.__name__}({', '.join(said)})"


@dataclass(frozen=True)
class Adapter:
    """What stands between two values.

    Attributes:
        student: the steps that adapt the student's.
        teacher: those that bring the teacher's into a form that the student's can be adapted to.
        is_auto: whether the student's are what ``connector="auto"`` comes to.
    """

    student: tuple[Step, ...]
    teacher: tuple[Step, ...] = ()
    is_auto: bool = False

    @property
    def text(self) -> str:
        """What there is between the values, in one line."""
        student = f"auto: {said(self.student)}" if self.is_auto else said(self.student)
        return f"{student}; teacher: {said(self.teacher)}" if self.teacher else student

    @property
    def connector(self) -> Literal["auto"] | list[nn.Module] | None:
        """As of a term."""
        return "auto" if self.is_auto else [step.make() for step in self.student] or None

    @property
    def teacher_connector(self) -> list[nn.Module] | None:
        """As of a term."""
        return [step.make() for step in self.teacher] or None


def said(steps: Sequence[Step]) -> str:
    """The steps in one line; "none" where there are none."""
    return " + ".join(map(str, steps)) or "none"


def adapter(student: Stage, teacher: Stage) -> Adapter:
    """The connectors that two stages need.

    ``"auto"`` reads maps with channels in front, and tokens of which there are equally many. Elsewhere both are made
    into such maps first.
    """
    forms = student.layout.form, teacher.layout.form
    if student.shape == teacher.shape:
        return Adapter(())
    if forms == ("map, channels last",) * 2 and student.layout.side == teacher.layout.side:
        return Adapter((Step(Linear, _widths(student, teacher, "features")),))
    fits = forms != ("tokens", "tokens") or student.shape[1] == teacher.shape[1]
    if "map, channels last" not in forms and fits:
        return Adapter(_inferred(student.shape, teacher.shape), is_auto=True)
    between = _inferred(_as_map(student), _as_map(teacher))
    return Adapter((*_to_map(student), *between), _to_map(teacher))


def _to_map(stage: Stage) -> tuple[Step, ...]:
    match stage.layout.form:
        case "tokens":
            return (Step(TokensToMap, {"prefix": stage.layout.prefix}),)
        case "map, channels last":
            return Step(nn.Flatten, {"start_dim": 1, "end_dim": 2}), Step(TokensToMap, {"prefix": 0})
        case _:
            return ()


def _as_map(stage: Stage) -> Shape:
    return (stage.shape[0], stage.layout.channels, stage.layout.side, stage.layout.side)


def _inferred(have: Shape, want: Shape) -> tuple[Step, ...]:
    with torch.device("meta"):  # what it looks like is wanted, not its weights or their draws
        found = infer(have, want)
    return tuple(step for part in (found if isinstance(found, nn.Sequential) else [found]) for step in _written(part))


def _written(part: nn.Module) -> list[Step]:
    """An inferred connector by its class and the arguments that it was made with; one that does nothing not at all."""
    match part:
        case Conv1x1():
            return [Step(Conv1x1, _channels(part.conv))]
        case ConvNormAct():
            kernel = {name: getattr(part.conv, name)[0] for name in ("kernel_size", "stride", "padding")}
            return [Step(ConvNormAct, {**_channels(part.conv), **kernel, "norm": None})]
        case Linear():
            widths = {"in_features": part.linear.in_features, "out_features": part.linear.out_features}
            return [Step(Linear, widths)]
        case MapToTokens() | TokensToMap():
            return [Step(type(part), {"prefix": part.prefix})]
        case Resize():
            return [Step(Resize, {"scale": part.scale} if part.size is None else {"size": list(part.size)})]
        case Pool(size=(height, width)):
            return [Step(Pool, {"size": [height, width]})]
        case _:
            return []


def _channels(convolution: nn.Conv2d) -> dict[str, Any]:
    return {"in_channels": convolution.in_channels, "out_channels": convolution.out_channels}


def _widths(student: Stage, teacher: Stage, axis: str) -> dict[str, Any]:
    return {f"in_{axis}": student.layout.channels, f"out_{axis}": teacher.layout.channels}
