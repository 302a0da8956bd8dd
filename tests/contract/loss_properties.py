"""The properties that a loss declares in its facts, each as a question to one loss and one sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from loss_checks import run, value_and_gradient
from loss_samples import Sample, Tree, leaves
from torch import Tensor, nn

Property = Callable[[nn.Module, Sample, int], bool]


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-8, atol=1e-10)


def _twins(sample: Sample) -> Sample:
    return Sample(sample.teacher, sample.teacher, sample.context)


def zero_at_equality(loss: nn.Module, sample: Sample, _: int) -> bool:
    value, slopes = value_and_gradient(loss, _twins(sample))
    return _close(value, torch.zeros_like(value)) and all(_close(s, torch.zeros_like(s)) for s in slopes)


def non_negative(loss: nn.Module, sample: Sample, _: int) -> bool:
    return bool(run(loss, sample) >= 0)


def per_sample_mean(loss: nn.Module, sample: Sample, _: int) -> bool:
    half = len(leaves(sample.student)[0]) // 2
    halves = [run(loss, sample.rows(slice(half))), run(loss, sample.rows(slice(half, 2 * half)))]
    return _close(run(loss, sample.rows(slice(2 * half))), (halves[0] + halves[1]) / 2)


def shift_invariant(loss: nn.Module, sample: Sample, seed: int) -> bool:
    shift = 1 + seed % 7
    return _unmoved(loss, sample, lambda x: x + shift)


def scale_invariant(loss: nn.Module, sample: Sample, seed: int) -> bool:
    factor = 2 + seed % 7
    return _unmoved(loss, sample, lambda x: x * factor)


def _unmoved(loss: nn.Module, sample: Sample, change: Callable[[Tensor], Tensor]) -> bool:
    """Whether the value stays when either side alone is changed."""
    expected = run(loss, sample)
    changed = (sample.map(change, lambda x: x), sample.map(lambda x: x, change))
    return all(_close(run(loss, other), expected) for other in changed)


def permutation_invariant(loss: nn.Module, sample: Sample, seed: int) -> bool:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(leaves(sample.student)[0]), generator=generator)
    orders = [torch.randperm(leaf.shape[1], generator=generator) for leaf in leaves(sample.student)]
    moved = Sample(_reordered(sample.student, orders), _reordered(sample.teacher, orders), _relabelled(sample, orders))
    return _close(run(loss, sample), run(loss, moved)) and _close(run(loss, sample), run(loss, sample.rows(rows)))


def _reordered(tree: Tree, orders: list[Tensor]) -> Tree:
    moved = tuple(leaf[:, order] for leaf, order in zip(leaves(tree), orders, strict=True))
    return moved[0] if isinstance(tree, Tensor) else moved


def _relabelled(sample: Sample, orders: list[Tensor]) -> dict[str, Tensor]:
    """A label is the place of its class, which moved."""
    return {name: orders[0].argsort()[value] if name == "labels" else value for name, value in sample.context.items()}


def ce_form(loss: nn.Module, sample: Sample, _: int) -> bool:
    """However sharp the student, its value stays above 0; large logits would make the teacher nearly sure."""
    twins = _twins(sample).map(lambda x: x / x.abs().max())
    return all(bool(run(loss, twins.map(lambda x, k=k: k * x, lambda x: x)) > 1e-4) for k in (1, 10, 100, 10000))


PROPERTIES: dict[str, Property] = {
    check.__name__: check
    for check in (
        zero_at_equality,
        non_negative,
        per_sample_mean,
        shift_invariant,
        scale_invariant,
        permutation_invariant,
        ce_form,
    )
}

# What a loss does not declare must be seen to fail, or the declaration is too modest. A sample that is below 0, or a
# minimum that is above it, cannot be found by drawing, so that these two are not asked for.
REFUTABLE = sorted(PROPERTIES.keys() - {"non_negative", "ce_form"})
