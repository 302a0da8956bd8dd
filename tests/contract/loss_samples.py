"""Random inputs for losses: what a loss reads decides what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Union

import torch
from torch import Tensor

Tree = Union[Tensor, "tuple[Tree, ...]"]


def mapped(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    return function(tree) if isinstance(tree, Tensor) else tuple(mapped(function, item) for item in tree)


def leaves(tree: Tree) -> list[Tensor]:
    return [tree] if isinstance(tree, Tensor) else [leaf for item in tree for leaf in leaves(item)]


@dataclass(frozen=True)
class Sample:
    """One batch: the two sides, and context such as labels, by the name of the loss's argument."""

    student: Tree
    teacher: Tree
    context: Mapping[str, Tensor] = field(default_factory=dict)

    def map(self, student: Callable[[Tensor], Tensor], teacher: Callable[[Tensor], Tensor] | None = None) -> Sample:
        """Another sample, each tensor of a side changed; one function is for both sides."""
        return Sample(mapped(student, self.student), mapped(teacher or student, self.teacher), self.context)

    def rows(self, index: slice | Tensor) -> Sample:
        context = {name: value[index] for name, value in self.context.items()}
        return Sample(mapped(lambda x: x[index], self.student), mapped(lambda x: x[index], self.teacher), context)

    def leaf(self) -> Sample:
        """The same memory, in its layout, as new leaves that ask for a gradient."""
        return self.map(lambda x: x.detach().requires_grad_())


Sampler = Callable[[torch.Generator, int], Sample]


def _sides(*shape: int, scale: float = 2.0) -> Sampler:
    def draw(generator: torch.Generator, n: int) -> Sample:
        student, teacher = (scale * torch.randn(n, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
        return Sample(student, teacher)

    return draw


logits = _sides(5)
logit_maps = _sides(3, 2, 3)
vectors = _sides(7)
maps = _sides(3, 4, 3, scale=1.0)


def map_pairs(generator: torch.Generator, n: int) -> Sample:
    """Pairs in which neither map, nor neither network's maps, have the same size."""

    def draw(*sizes: tuple[int, int, int]) -> Tree:
        return tuple(torch.randn(n, *size, generator=generator, dtype=torch.float64) for size in sizes)

    return Sample(draw((2, 3, 4), (3, 2, 2)), draw((2, 5, 3), (3, 3, 4)))


BY_READS: dict[str, tuple[Sampler, ...]] = {
    "logits": (logits,),
    "map": (maps,),
    "map pair": (map_pairs,),
    "feature": (vectors, maps),
}
