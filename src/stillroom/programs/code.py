"""From operations to Python code that computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from stillroom.programs.operation import Operation, Ref, replaced


class Constants(nn.Module):
    """Tensors that are no parameter and no buffer of a model: they move with a program and are not saved."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        for index, tensor in enumerate(tensors):
            self.register_buffer(f"c{index}", tensor, persistent=False)


def detached(value: Any) -> Any:
    """A value through which no gradient flows back."""
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value)


def copied(value: Any) -> Any:
    """A value that no later operation overwrites."""
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, value)


def written(
    operations: Sequence[Operation],
    wanted: Mapping[str, str],
    models: Mapping[str, nn.Module],
    constants: nn.Module,
    losses: nn.Module,
) -> fx.GraphModule:
    """A module that computes the operations, and looks up what they use when it runs: nothing is copied.

    Args:
        operations: in order.
        wanted: the operations whose values to return, by the name under which each is wanted.
        models: by the prefix of their operations.
        constants, losses: of all of them.

    Returns:
        A module that takes the inputs in order and returns a dict.
    """
    places = {prefix: f"model{index}" for index, prefix in enumerate(models)}
    writer = _Writer(operations, wanted, places)
    for operation in operations:
        writer.write(operation)
    writer.graph.output({name: writer.taken[operation] for name, operation in wanted.items()})
    module = fx.GraphModule(nn.Module(), fx.Graph())
    for prefix, place in places.items():
        setattr(module, place, models[prefix])
    module.constants, module.losses = constants, losses
    module.graph = writer.graph
    return module


class _Writer:
    """Writes operations into a graph.

    Args:
        operations: that will be written.
        wanted: those whose values are wanted outside.
        places: where a model is in the module that will compute the graph, by the prefix of its operations.

    Attributes:
        graph: what was written.
        taken: for what is wanted outside or by losses, its value when it was made; a teacher's without gradient.
    """

    def __init__(self, operations: Sequence[Operation], wanted: Mapping[str, str], places: Mapping[str, str]) -> None:
        self.graph = fx.Graph()
        self.taken: dict[str, fx.Node] = {}
        self._nodes: dict[str, fx.Node] = {}
        self._places = places
        self._overwritten = {name for operation in operations for name in operation.changes}
        by_losses = {name for operation in operations if operation.kind == "loss" for name in operation.reads}
        self._outside = by_losses | set(wanted.values())

    def write(self, operation: Operation) -> None:
        nodes = self.taken if operation.kind == "loss" else self._nodes
        args, kwargs = (
            replaced(given, lambda leaf: nodes[leaf.name] if isinstance(leaf, Ref) else leaf)
            for given in (operation.args, dict(operation.kwargs))
        )
        node = self._nodes[operation.name] = self._node(operation, args, kwargs)
        if operation.name in self._outside:
            if operation.name in self._overwritten:
                node = self.graph.call_function(copied, (node,))
            self.taken[operation.name] = self.graph.call_function(detached, (node,)) if operation.model else node

    def _node(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        kinds = {"function": "call_function", "method": "call_method", "input": "placeholder"}
        model = self._places[operation.model]
        targets = {
            "module": ("call_module", f"{model}.{operation.target}" if operation.target else model),
            "loss": ("call_module", f"losses.{operation.target}"),
            "attribute": ("get_attr", f"{model}.{operation.target}"),
            "constant": ("get_attr", f"constants.{operation.target}"),
        }
        kind, target = targets.get(operation.kind) or (kinds[operation.kind], operation.target)
        return self.graph.create_node(kind, target, args, kwargs, name=operation.name)
