"""How large a tensor a computation makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        storages = [x.untyped_storage().nbytes() // x.element_size() for x in tree_leaves(out) if isinstance(x, Tensor)]
        self.largest = max([self.largest, *storages])
        return out


def largest_tensor(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> int:
    """The numbers in the largest storage, forward and backward."""
    with _Watch() as watch:
        loss(student.detach().requires_grad_(), teacher).backward()
    return watch.largest
