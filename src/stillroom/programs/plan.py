"""A program without the models: its operations, where modules were called, and what of them is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from stillroom.errors import StillroomError, did_you_mean
from stillroom.programs.operation import Call, Operation, Ref, renamed


@dataclass(frozen=True)
class Plan:
    """What is computed.

    Attributes:
        operations: in order, the inputs first.
        calls: of every module, by its path; none where it did not run, or ran inside one that runs as a whole.
        outputs: of each model by its prefix, with a :class:`Ref` for each value.
    """

    operations: tuple[Operation, ...]
    calls: Mapping[str, tuple[Call, ...]]
    outputs: Mapping[str, Any]

    @cached_property
    def by_name(self) -> Mapping[str, Operation]:
        return {operation.name: operation for operation in self.operations}

    @property
    def output(self) -> Any:
        """Of the model that trains."""
        return self.outputs[""]

    @property
    def inputs(self) -> list[str]:
        return [operation.name for operation in self.operations if operation.kind == "input"]

    @property
    def tensors(self) -> list[str]:
        return [operation.name for operation in self.operations if operation.tensor is not None]

    def find(self, name: str) -> str:
        """The name of a tensor, for itself or for the path of the module that returns it.

        Raises:
            StillroomError: there is no such tensor, or not one.
        """
        if self.is_tensor(name):
            return name
        if calls := self.calls.get(name, ()):
            outputs = [call.output for call in calls]
            if len(outputs) == 1 and isinstance(outputs[0], Ref) and self.is_tensor(outputs[0].name):
                return outputs[0].name
            how = f"is called {len(calls)} times" if len(calls) > 1 else "returns no single tensor, or one pruned away"
            inside = [tensor for tensor in self.tensors if tensor.startswith((f"{name}.", f"{name}[", f"{name}_"))]
            raise StillroomError(
                f"module {name!r} {how}", fix=f"Name one of its tensors: {', '.join(inside[-6:])}." if inside else ""
            )
        raise self.unknown(name)

    def unknown(self, name: str) -> StillroomError:
        """Why there is no tensor of this name."""
        whole = [operation.model + operation.path for operation in self.operations if operation.kind == "module"]
        if within := [path for path in whole if name.startswith(f"{path}.")]:
            return StillroomError(
                f"{name!r} is inside {within[0]!r}, which runs as a whole",
                fix="Its operations depend on the mode, or cannot be followed. Hooks reach it: Distiller, or record().",
            )
        if name in self.calls:
            return StillroomError(f"module {name!r} does not run", fix=did_you_mean(name, self.tensors))
        return StillroomError(f"there is no tensor {name!r}", fix=did_you_mean(name, self.tensors))

    def only(self, names: Iterable[str]) -> Plan:
        """The operations on which these depend, and those that change a parameter or buffer."""
        needed, kept = set(names), list[Operation]()
        for operation in reversed(self.operations):
            if operation.name in needed or operation.kind == "input" or operation.pinned:
                kept.append(operation)
                needed.update(operation.reads)
        return replace(self, operations=tuple(reversed(kept)))

    def under(self, prefix: str, constants: int) -> Plan:
        """The same as a teacher's part: every name with a prefix, and constants counted on from a number."""

        def moved(operation: Operation) -> Operation:
            tensor = operation.tensor
            is_constant = operation.kind == "constant"
            return replace(
                operation,
                name=prefix + operation.name,
                target=f"c{int(operation.target[1:]) + constants}" if is_constant else operation.target,
                args=renamed(operation.args, prefix.__add__),
                kwargs=renamed(operation.kwargs, prefix.__add__),
                model=prefix,
                tensor=None if tensor is None else replace(tensor, name=prefix + tensor.name),
                changes=tuple(prefix + name for name in operation.changes),
            )

        return Plan(
            operations=tuple(moved(operation) for operation in self.operations),
            calls={prefix + path: renamed(calls, prefix.__add__) for path, calls in self.calls.items()},
            outputs={prefix: renamed(self.output, prefix.__add__)},
        )

    def is_tensor(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self.by_name and self.by_name[name].tensor is not None
