"""Random inputs for losses: what a loss reads decides what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
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
    """One batch: the two sides, and context such as labels, by the name of the loss's argument.

    For a loss that has no teacher, the teacher is the empty tuple.
    """

    student: Tree
    teacher: Tree
    context: Mapping[str, Tensor] = field(default_factory=dict)

    def map(self, student: Callable[[Tensor], Tensor], teacher: Callable[[Tensor], Tensor] | None = None) -> Sample:
        """Another sample, each tensor of a side changed; one function is for both sides."""
        return Sample(mapped(student, self.student), mapped(teacher or student, self.teacher), self.context)

    def rows(self, index: slice | Tensor) -> Sample:
        context = {name: value[index] for name, value in self.context.items()}
        return Sample(mapped(lambda x: x[index], self.student), mapped(lambda x: x[index], self.teacher), context)

    @property
    def sides(self) -> tuple[Tree, ...]:
        """The operands of the loss."""
        return (self.student, self.teacher) if leaves(self.teacher) else (self.student,)

    def leaf(self) -> Sample:
        """The same memory, in its layout, as new leaves that ask for a gradient."""
        return self.map(lambda x: x.detach().requires_grad_())


Sampler = Callable[[torch.Generator, int], Sample]
Size = tuple[int, ...]


def fitted(sampler: Sampler, arguments: Container[str]) -> Sampler:
    """The same draws for a loss with those arguments: without a teacher if it takes none, with labels if it does."""

    def draw(generator: torch.Generator, n: int) -> Sample:
        sample = sampler(generator, n)
        context = dict(sample.context)
        if "labels" in arguments:
            context["labels"] = torch.randint(leaves(sample.student)[0].shape[1], (n,), generator=generator)
        return Sample(sample.student, sample.teacher if "teacher" in arguments else (), context)

    return draw


def _sides(*shape: int, scale: float = 2.0) -> Sampler:
    def draw(generator: torch.Generator, n: int) -> Sample:
        student, teacher = (scale * torch.randn(n, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
        return Sample(student, teacher)

    return draw


logits = _sides(5)
logit_maps = _sides(3, 2, 3)
vectors = _sides(7)
maps = _sides(3, 4, 3, scale=1.0)


def unlike(student: Size, teacher: Size) -> Sampler:
    """Two sides that have no more in common than the batch, for losses that ask for no more."""
    return sides((student,), (teacher,), single=True)


def sides(student: tuple[Size, ...], teacher: tuple[Size, ...], *, single: bool = False) -> Sampler:
    """Tuples of tensors, or one tensor, of these sizes."""

    def draw(generator: torch.Generator, n: int) -> Sample:
        drawn = [
            tuple(torch.randn(n, *size, generator=generator, dtype=torch.float64) for size in side)
            for side in (student, teacher)
        ]
        return Sample(*(side[0] if single else side for side in drawn))

    return draw


# Neither map of a pair, nor neither network's maps, have the same size.
map_pairs = sides(((2, 3, 4), (3, 2, 2)), ((2, 5, 3), (3, 3, 4)))
layers = sides(((6, 2, 4), (5, 3, 2), (3, 2, 2)), ((6, 2, 4), (5, 3, 2), (3, 2, 2)))

# A map of 3 channels, its means over the pixels and over the channels, its relations, and its two masks.
_MASKED = ((3, 2, 3), (3,), (1, 2, 3), (3, 2, 3), (1, 2, 3), (3, 1, 1))


def masked(generator: torch.Generator, n: int) -> Sample:
    """Six tensors on each side, of which the last two are above 0."""
    drawn = sides(_MASKED, _MASKED)(generator, n)
    student, teacher = ((*side[:4], *(mask.exp() for mask in side[4:])) for side in drawn.sides)
    return Sample(student, teacher)


BY_READS: dict[str, tuple[Sampler, ...]] = {
    "logits": (logits,),
    "map": (maps,),
    "map pair": (map_pairs,),
    "maps": (layers,),
    "feature": (vectors, maps),
}
