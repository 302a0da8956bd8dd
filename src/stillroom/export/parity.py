"""Does a model that was read back from a file still give the same answers?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError

__all__ = ["parity", "shipped", "tensors_in"]

Runner = Callable[[Tensor], object]


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


def parity(original: Runner, reread: Runner, example: Tensor, *, tolerance: float) -> float:
    """Compare the answers of two models on real samples, as one batch and as a batch of one.

    Args:
        original: the model that was written.
        reread: the model that was read back.
        example: (N, ...), a batch of real samples; noise would hide what only real values show.
        tolerance: how far the answers may differ, relative to the largest of them or to 1, if that is more.

    Returns:
        The largest absolute difference.

    Raises:
        StillroomError: for a larger difference, for NaN, and for outputs of another number or shape.
    """
    example = checked(example).cpu()
    return max(_difference(original, reread, batch, tolerance=tolerance) for batch in (example, example[:1]))


def checked(example: Tensor) -> Tensor:
    """The example, if it is a batch.

    Raises:
        StillroomError: for a tensor without samples.
    """
    if example.ndim < 1 or len(example) < 1:
        raise StillroomError("the example is no batch of samples", expected="(N, ...)", got=tuple(example.shape))
    return example


def _difference(original: Runner, reread: Runner, batch: Tensor, *, tolerance: float) -> float:
    with torch.no_grad():
        right, found = list(tensors_in(original(batch))), list(tensors_in(reread(batch)))
    shapes, found_shapes = [tuple(leaf.shape) for leaf in right], [tuple(leaf.shape) for leaf in found]
    if shapes != found_shapes or not shapes:
        where = f"read back, batch of {len(batch)}"
        raise StillroomError("outputs of other shapes", where=where, expected=shapes, got=found_shapes)
    return max(_leaf(a.double(), b.double(), tolerance=tolerance) for a, b in zip(right, found, strict=True))


def _leaf(right: Tensor, found: Tensor, *, tolerance: float) -> float:
    # Equal infinities (masked logits) differ by nothing, not by NaN.
    gap = torch.where(right == found, 0.0, (right - found).abs())
    finite = right[right.isfinite()].abs()
    allowed = tolerance * max(1.0, finite.max().item() if finite.numel() else 0.0)
    difference = gap.max().item() if gap.numel() else 0.0
    if not difference <= allowed:  # also true of NaN
        raise StillroomError(
            "the model answers differently after it was read back, so no file was kept",
            expected=f"a difference of at most {allowed:.3g} (tolerance {tolerance:g})",
            got=f"{difference:.3g}",
            fix="The model is random in evaluation mode, gives NaN, or the format changes its arithmetic.",
        )
    return difference
