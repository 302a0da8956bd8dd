"""A loss as an operation of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.programs.operation import Operation, Ref, TensorInfo
from stillroom.recorders import describe

Names = str | tuple[str, ...]


class Computed(nn.Module):
    """A function as a module.

    Args:
        function: what is called, with keywords.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, **values: Any) -> Any:
        return self._function(**values)


def objective(
    name: str, loss: nn.Module, arguments: Mapping[str, Names], operations: Mapping[str, Operation]
) -> Operation:
    """The operation that computes a loss, which is tried on tensors without data.

    Args:
        name: of the loss.
        loss: what computes it.
        arguments: names of tensors, by the loss's argument.
        operations: by name, those that make the tensors.

    Raises:
        StillroomError: the loss fails on the shapes of these tensors, or returns no scalar.
    """
    where = f"{name}({', '.join(f'{argument}={names!r}' for argument, names in arguments.items())})"
    device = next((parameter.device for parameter in loss.parameters()), torch.device("cpu"))

    def empty(one: str) -> Tensor:
        tensor = operations[one].tensor
        assert tensor is not None  # the names of tensors alone come here
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)

    with untouched(loss), FakeTensorMode(allow_non_fake_inputs=True):
        values = {argument: tree_map(empty, names) for argument, names in arguments.items()}
        try:
            value = loss(**values)
        except StillroomError as error:
            raise error.at(where) from None
        except Exception as error:
            shapes = tree_map(lambda tensor: tuple(tensor.shape), values)
            raise StillroomError(
                f"the loss fails on tensors of these shapes: {type(error).__name__}: {error}".rstrip("."),
                where=where,
                got=", ".join(f"{argument} {shape}" for argument, shape in shapes.items()),
            ) from error
    if not isinstance(value, Tensor) or value.dim() != 0:
        raise StillroomError(
            "a loss must return one number", where=where, expected="a Tensor of shape ()", got=describe(value)
        )
    info = TensorInfo(name, "loss", "", (), value.dtype, value.element_size(), 0)
    return Operation(name, "loss", name, kwargs=tree_map(Ref, dict(arguments)), label="loss", tensor=info)
