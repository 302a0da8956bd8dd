"""Does a model that was read back from a file still give the same answers?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError

__all__ = ["Compare", "parity", "same_values", "shipped", "tensors_in"]

Runner = Callable[[Tensor], object]
Compare = Callable[[Sequence[Tensor], Sequence[Tensor], float], float]
"""Of the tensors of two outputs, of equal shapes, and a tolerance, the largest difference; refuses what differs."""


def shipped(model: nn.Module) -> nn.Module:
    """The copy of a model that goes into a file: in evaluation mode, on the CPU, so that the file opens anywhere."""
    return copy.deepcopy(model).cpu().eval()


def tensors_in(output: object) -> Iterator[Tensor]:
    """The tensors of a model's output, in order, through mappings, tuples and lists.

    Raises:
        StillroomError: for an output with anything else in it, except None.
    """
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (Mapping, tuple, list)):
        items = cast("Mapping[object, object] | tuple[object, ...] | list[object]", output)
        for item in items.values() if isinstance(items, Mapping) else items:
            yield from tensors_in(item)
    elif output is not None:
        expected = "tensors, or dicts, tuples and lists of them"
        raise StillroomError("the model's output cannot be compared", expected=expected, got=type(output).__name__)


def same_values(right: Sequence[Tensor], found: Sequence[Tensor], tolerance: float) -> float:
    """Number by number.

    Raises:
        StillroomError: for a larger difference.
    """
    return max(_leaf(a.double(), b.double(), tolerance=tolerance) for a, b in zip(right, found, strict=True))


def parity(
    original: Runner, reread: Runner, example: Tensor, *, tolerance: float, compare: Compare = same_values
) -> float:
    """Compare the answers of two models on real samples, as one batch and as a batch of one.

    Args:
        original: the model that was written.
        reread: the model that was read back.
        example: (N, ...), a batch of real samples; noise would hide what only real values show.
        tolerance: how far the answers may differ, relative to the largest of them or to 1, if that is more.
        compare: how two outputs are compared.

    Returns:
        The largest absolute difference.

    Raises:
        StillroomError: for a larger difference, for NaN, and for outputs of another number or shape.
    """
    example = checked(example).cpu()
    return max(_difference(original, reread, batch, tolerance, compare) for batch in (example, example[:1]))


def checked(example: Tensor) -> Tensor:
    """The example, if it is a batch.

    Raises:
        StillroomError: for a tensor without samples.
    """
    if example.ndim < 1 or len(example) < 1:
        raise StillroomError("the example is no batch of samples", expected="(N, ...)", got=tuple(example.shape))
    return example


def allowed(right: Tensor, tolerance: float) -> float:
    """How far from these values others may be."""
    finite = right[right.isfinite()].abs()
    return tolerance * max(1.0, finite.max().item() if finite.numel() else 0.0)


def differs(expected: str, got: str) -> StillroomError:
    """What is said of a model that does not answer as it did."""
    return StillroomError(
        "the model answers differently after it was read back, so no file was kept",
        expected=expected,
        got=got,
        fix="The model is random in evaluation mode, gives NaN, or the format changes its arithmetic.",
    )


def _difference(original: Runner, reread: Runner, batch: Tensor, tolerance: float, compare: Compare) -> float:
    with torch.no_grad():
        right, found = list(tensors_in(original(batch))), list(tensors_in(reread(batch)))
    shapes, found_shapes = [tuple(leaf.shape) for leaf in right], [tuple(leaf.shape) for leaf in found]
    if shapes != found_shapes or not shapes:
        where = f"read back, batch of {len(batch)}"
        raise StillroomError("outputs of other shapes", where=where, expected=shapes, got=found_shapes)
    return compare(right, found, tolerance)


def _leaf(right: Tensor, found: Tensor, *, tolerance: float) -> float:
    # Equal infinities (masked logits) differ by nothing, not by NaN.
    gap = torch.where(right == found, 0.0, (right - found).abs())
    most = allowed(right, tolerance)
    difference = gap.max().item() if gap.numel() else 0.0
    if not difference <= most:  # also true of NaN
        raise differs(f"a difference of at most {most:.3g} (tolerance {tolerance:g})", f"{difference:.3g}")
    return difference
