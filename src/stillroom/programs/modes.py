"""One computation for training and evaluation: what depends on the mode inside a module stays a whole module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.programs.capture import Capture, Run, UntraceableError, captured
from stillroom.programs.operation import Operation, Ref, refs, renamed

TRAINING = "self.training"
"""Name of the operation that says in which mode the model itself is."""


def settled(model: nn.Module, run: Run, inputs: list[str]) -> Capture:
    """The computation of a model in both modes.

    The innermost modules whose operations differ between the modes, or that cannot be followed at all, are called as
    a whole. A constant that differs in the model's own forward pass becomes a choice by its ``training``.

    Raises:
        StillroomError: the model's own forward pass cannot be followed, or does other operations in training.
    """
    whole: set[str] = set()
    while True:
        try:
            evaluated = captured(model, run, inputs, whole, training=False)
            trained = captured(model, run, inputs, whole, training=True)
        except UntraceableError as error:
            if not error.path:
                raise _refused(model, "cannot be followed without running it", error.reason) from error
            whole.add(error.path)
            continue
        owners = _differing(evaluated, trained)
        if owners <= {""}:
            return _switched(model, evaluated, trained) if owners else evaluated
        whole |= {owner for owner in owners if owner and not any(other.startswith(f"{owner}.") for other in owners)}


def either(training: bool, trained: Any, evaluated: Any) -> Any:
    """The constant of the mode."""
    return trained if training else evaluated


def _differing(evaluated: Capture, trained: Capture) -> set[str]:
    """The modules in whose own forward pass the modes differ."""
    ours, theirs = _by_owner(evaluated), _by_owner(trained)
    if owners := {owner for owner in {**ours, **theirs} if ours.get(owner) != theirs.get(owner)}:
        return owners
    for call, same in zip(evaluated.calls, trained.calls, strict=True):
        if repr(call.inputs) == repr(same.inputs) and repr(call.output) != repr(same.output):
            return {call.path}
    for one, other in zip(evaluated.operations, trained.operations, strict=True):
        if _shown(one) != _shown(other) or not _same(one.name, evaluated, trained):
            return {evaluated.owners[one.name]}
    return set() if repr(evaluated.output) == repr(trained.output) else {""}


def _by_owner(capture: Capture) -> Mapping[str, list[str]]:
    """What each module does itself; of a value from elsewhere no more than that there is one."""
    done: dict[str, list[str]] = {}
    for operation in capture.operations:
        owner = capture.owners[operation.name]
        own = {name: name if capture.owners[name] == owner else "elsewhere" for name in operation.reads}
        local = replace(
            operation, args=renamed(operation.args, own.__getitem__), kwargs=renamed(operation.kwargs, own.__getitem__)
        )
        done.setdefault(owner, []).append(_shown(local))
    return done


def _shown(operation: Operation) -> str:
    return repr((operation.name, operation.kind, operation.target, operation.args, operation.kwargs))


def _same(name: str, evaluated: Capture, trained: Capture) -> bool:
    """Whether a constant is the same in both modes, if it is one: numbers drawn in the forward pass are not."""
    return name not in evaluated.constants or torch.equal(evaluated.constants[name], trained.constants[name])


def _switched(model: nn.Module, evaluated: Capture, trained: Capture) -> Capture:
    """The computation in evaluation, with a choice for every constant that is another in training."""
    if len(evaluated.operations) != len(trained.operations) or repr(evaluated.output) != repr(trained.output):
        raise _otherwise(model, _first(evaluated, trained))
    operations = [Operation(name=TRAINING, kind="attribute", target="training", label="training")]
    for one, other in zip(evaluated.operations, trained.operations, strict=True):
        ours, theirs = _arguments(one), _arguments(other)
        changed = [key for key in ours if repr(ours[key]) != repr(theirs.get(key))]
        fixed = not any(refs(ours[key]) or refs(theirs.get(key)) for key in changed)
        if _head(one) != _head(other) or not fixed or not _same(one.name, evaluated, trained):
            raise _otherwise(model, f"{one.name!r} in evaluation, {other.name!r} in training")
        for key in changed:
            name = f"{one.name}:{key}"
            operations.append(Operation(name, "function", either, (Ref(TRAINING), theirs[key], ours[key])))
            ours[key] = Ref(name)
        args = tuple(ours.pop(index) for index in range(len(one.args)))
        operations.append(replace(one, args=args, kwargs=ours))
    evaluated.operations = operations
    return evaluated


def _arguments(operation: Operation) -> dict[Any, Any]:
    return {**dict(enumerate(operation.args)), **operation.kwargs}


def _head(operation: Operation) -> tuple[Any, ...]:
    return operation.name, operation.kind, operation.target, len(operation.args), [*operation.kwargs]


def _first(evaluated: Capture, trained: Capture) -> str:
    """Where the computation parts."""
    for one, other in zip(evaluated.operations, trained.operations, strict=False):
        if one.name != other.name:
            return f"{one.name!r} in evaluation where it does {other.name!r} in training"
    return f"{len(evaluated.operations)} in evaluation, {len(trained.operations)} in training, or another output"


def _otherwise(model: nn.Module, got: str) -> StillroomError:
    return _refused(model, "does other operations in training than in evaluation, outside every module in it", got)


def _refused(model: nn.Module, problem: str, got: str) -> StillroomError:
    return StillroomError(
        f"the forward pass of {type(model).__name__} {problem}",
        got=got,
        fix="Read such a model through hooks: Distiller, or record().",
    )
