"""What the operations of a program make, and which of them overwrite what others have made."""

from __future__ import annotations

import operator
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.programs.capture import Capture
from stillroom.programs.modes import either
from stillroom.programs.operation import Call, Operation, Ref, TensorInfo, filled, refs, renamed


def reread(value: Any, change: Any) -> Any:
    """The value as another operation left it."""
    del change
    return value


class Rehearsal:
    """Runs every operation once on tensors without data, in evaluation.

    What an operation changes in place is from then on named by that operation: whatever reads it afterwards depends on
    the change, so that nothing that matters is ever left out.

    Args:
        model: on which the operations run; it stays as it is.
        capture: the operations.
        example: the model's inputs by name.

    Attributes:
        operations: with what each makes and changes.

    Raises:
        StillroomError: an operation fails, or its shape depends on data.
    """

    def __init__(self, model: nn.Module, capture: Capture, example: Mapping[str, Tensor]) -> None:
        self._model, self._capture, self._example = model, capture, example
        self._values: dict[str, Any] = {}
        self._versions: dict[str, list[tuple[Tensor, int]]] = {}
        self._later: dict[str, tuple[int, str]] = {}
        self._uncounted: dict[str, int] = {}
        self._held = {raw.name for raw in capture.operations if raw.kind in ("attribute", "constant")}
        self.operations: list[Operation] = []
        flops = FlopCounterMode(display=False)
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        with untouched(model), _fast_path_off(), self._fake, flops:
            model.eval()
            position = 0
            for raw in capture.operations:
                args, kwargs = self._as_of(position, raw.args), self._as_of(position, raw.kwargs)
                operation, before = replace(raw, args=args, kwargs=kwargs), flops.get_total_flops()
                value = self._value(operation)
                self._keep(operation, value, position, (flops.get_total_flops() - before) // 2)
                position += raw.name in capture.owners  # what was put in between counts for nothing
        self._drop_unread()

    def calls(self) -> list[tuple[str, Call]]:
        """Every call of a module, by its path."""
        return [
            (call.path, Call(self._as_of(call.start, call.inputs), self._as_of(call.end, call.output)))
            for call in self._capture.calls
        ]

    def output(self) -> Any:
        """The model's output."""
        return self._as_of(len(self._capture.owners), self._capture.output)

    def _drop_unread(self) -> None:
        """Of the values that were named anew, leave those that are read under that name."""
        used = {*refs(self.output()), *refs([call for _, call in self.calls()])}
        left: list[Operation] = []
        for operation in reversed(self.operations):
            if operation.target is not reread or operation.name in used:
                left.append(operation)
                used.update(operation.reads)
        self.operations = left[::-1]

    def _as_of(self, position: int, value: Any) -> Any:
        """Nested containers, with the names that their values have when so many operations are done."""

        def name_then(name: str) -> str:
            while name in self._later and self._later[name][0] < position:
                name = self._later[name][1]
            return name

        return renamed(value, name_then)

    def _value(self, operation: Operation) -> Any:
        if operation.kind == "input":
            return self._fake.from_tensor(self._example[operation.name])
        if operation.kind == "constant":
            return self._fake.from_tensor(self._capture.constants[operation.name])
        if operation.kind == "attribute":
            held = found(self._model, operation.target)
            return self._fake.from_tensor(held) if isinstance(held, Tensor) else held
        args, kwargs = filled(operation.args, self._values), filled(operation.kwargs, self._values)
        try:
            if operation.kind == "module":
                return self._model.get_submodule(operation.target)(*args, **kwargs)
            if operation.kind == "method":
                return getattr(args[0], operation.target)(*args[1:], **kwargs)
            return operation.target(*args, **kwargs)
        except Exception as error:
            raise StillroomError(
                f"{operation.name!r} cannot be computed on tensors without data",
                where=operation.path or type(self._model).__name__,
                got=f"{type(error).__name__}: {error}".rstrip("."),
                fix="If the example inputs are right, then read this model through hooks: Distiller, or record().",
            ) from error

    def _keep(self, operation: Operation, value: Any, position: int, multiply_adds: int) -> None:
        changed = self._changed(operation)
        made = replace(
            operation,
            tensor=self._tensor(operation, value, multiply_adds),
            multiply_adds=multiply_adds,
            changes=tuple(changed),
            pinned=not self._held.isdisjoint(changed),
        )
        self._add(made, value)
        for name in changed:
            if value is self._values[name]:
                self._later[name] = position, operation.name
            else:
                self._later[name] = position, self._again(name, operation)

    def _again(self, name: str, change: Operation) -> str:
        """Give a value another name, after an operation that changed it and returned something else."""
        value, again = self._values[name], f"{name.partition(' after ')[0]} after {change.name}"
        operation = Operation(
            again, "function", reread, (Ref(name), Ref(change.name)), label="reread", path=change.path
        )
        self._add(replace(operation, tensor=self._tensor(operation, value, 0)), value)
        return again

    def _add(self, operation: Operation, value: Any) -> None:
        self.operations.append(operation)
        self._values[operation.name] = value
        tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
        self._versions[operation.name] = [(tensor, tensor._version) for tensor in tensors]

    def _changed(self, operation: Operation) -> list[str]:
        """Values that were another before this operation; of those with several names the last."""
        if not any(self._moved(name) for name in operation.reads):
            return []
        return [name for name in self._versions if name not in self._later and self._moved(name)]

    def _moved(self, name: str) -> bool:
        return any(tensor._version != version for tensor, version in self._versions[name])

    def _tensor(self, operation: Operation, value: Any, multiply_adds: int) -> TensorInfo | None:
        """Of an operation that makes several tensors, the first that is taken out counts for it."""
        if not isinstance(value, Tensor):
            self._uncounted[operation.name] = multiply_adds
            return None
        if operation.kind in ("attribute", "constant") or operation.target is either:
            return None
        if operation.target is operator.getitem:
            multiply_adds += sum(self._uncounted.pop(name, 0) for name in refs(operation.args))
        return TensorInfo(
            name=operation.name,
            operation=operation.label,
            path=operation.path,
            shape=tuple(value.shape),
            dtype=value.dtype,
            bytes=value.numel() * value.element_size(),
            multiply_adds=multiply_adds,
        )


def found(model: nn.Module, path: str) -> Any:
    """A module's attribute by its dotted path."""
    owner, _, name = path.rpartition(".")
    return getattr(model.get_submodule(owner), name)


@contextmanager
def _fast_path_off() -> Generator[None, None, None]:
    """Inside, attention is computed in steps: what the fused kernel of evaluation does cannot be counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
