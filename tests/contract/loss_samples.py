"""Random inputs for losses: what a loss reads decides what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Union

import torch
from torch import Tensor

Tree = Union[Tensor, "tuple[Tree, ...]"]


def mapped(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    return function(tree) if isinstance(tree, Tensor) else tuple(mapped(function, item) for item in tree)


def leaves(tree: Tree) -> list[Tensor]:
    return [tree] if isinstance(tree, Tensor) else [leaf for item in tree for leaf in leaves(item)]


def picked(value: Any, index: slice | Tensor) -> Any:
    """Some samples of context: of tensors, alone or in a tuple, and of a list of one item for each sample."""
    if isinstance(value, list):
        return [value[place] for place in torch.arange(len(value))[index]]
    if isinstance(value, tuple):
        return tuple(picked(item, index) for item in value)
    return value[index] if isinstance(value, Tensor) and value.ndim else value


def _of_all(value: Any, n: int) -> bool:
    """A tensor of another length than the batch belongs to no sample: a classifier's weight."""
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) != n


@dataclass(frozen=True)
class Sample:
    """One batch: the two sides, and context such as labels, by the name of the loss's argument.

    For a loss that has no teacher, the teacher is the empty tuple. Context that comes from the teacher's network is
    named in ``of_teacher``: what is done to the teacher's side is done to it.
    """

    student: Tree
    teacher: Tree
    context: Mapping[str, Any] = field(default_factory=dict)
    of_teacher: tuple[str, ...] = ()

    def map(self, student: Callable[[Tensor], Tensor], teacher: Callable[[Tensor], Tensor] | None = None) -> Sample:
        """Another sample, each tensor of a side changed; one function is for both sides."""
        teacher = teacher or student
        context = {**self.context, **{name: mapped(teacher, self.context[name]) for name in self.of_teacher}}
        return replace(
            self, student=mapped(student, self.student), teacher=mapped(teacher, self.teacher), context=context
        )

    def rows(self, index: slice | Tensor) -> Sample:
        n = len(leaves(self.student)[0])
        context = {name: value if _of_all(value, n) else picked(value, index) for name, value in self.context.items()}
        student, teacher = (mapped(lambda x: x[index], side) for side in (self.student, self.teacher))
        return replace(self, student=student, teacher=teacher, context=context)

    @property
    def taught(self) -> Tree:
        """All that comes from the teacher's network."""
        return (self.teacher, *(self.context[name] for name in self.of_teacher))

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
        if "labels" in arguments and "labels" not in context:
            context["labels"] = torch.randint(leaves(sample.student)[0].shape[1], (n,), generator=generator)
        return replace(sample, teacher=sample.teacher if "teacher" in arguments else (), context=context)

    return draw


def identified(sampler: Sampler) -> Sampler:
    """The same draws of the samples of a set of 9 or more, with their places in it; the place says the class."""

    def draw(generator: torch.Generator, n: int) -> Sample:
        sample = sampler(generator, n)
        index = torch.randperm(9, generator=generator)[:n]
        return Sample(sample.student, sample.teacher, {"index": index, "labels": index % 3})

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


def classified(sampler: Sampler) -> Sampler:
    """The same draws, with a classifier of 11 classes that reads the teacher's features."""

    def draw(generator: torch.Generator, n: int) -> Sample:
        sample = sampler(generator, n)
        weight = torch.randn(11, leaves(sample.teacher)[0].shape[1], generator=generator, dtype=torch.float64)
        return replace(sample, context={"classifier": weight}, of_teacher=("classifier",))

    return draw


# Heads of a YOLO with 2 classes and 2 anchors, or with 9 classes and 1.
_HEADS = ((14, 2, 2), (14, 1, 3))
yolo_heads = sides(_HEADS, _HEADS)

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
