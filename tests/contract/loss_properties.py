"""The properties that a loss declares in its facts, each as a question to one loss and one sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from loss_checks import value_and_gradient
from loss_runs import run
from loss_samples import Sample, leaves
from torch import Tensor, nn

Property = Callable[[nn.Module, Sample, int], bool]


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-8, atol=1e-10)


def _twins(sample: Sample) -> Sample:
    return Sample(sample.teacher, sample.teacher, sample.context)


def zero_at_equality(loss: nn.Module, sample: Sample, _: int) -> bool:
    if len(sample.sides) == 1:
        return False  # there is nothing to equal
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
    moved = sample.map(lambda x: x[:, _order(x.shape[1], seed)])
    moved = replace(moved, context=_relabelled(moved, seed))
    return _close(run(loss, sample), run(loss, moved)) and _close(run(loss, sample), run(loss, sample.rows(rows)))


def _order(channels: int, seed: int) -> Tensor:
    """One order for all tensors of that many channels, on either side."""
    return torch.randperm(channels, generator=torch.Generator().manual_seed(seed))


def _relabelled(sample: Sample, seed: int) -> dict[str, Any]:
    """A label is the place of its class, which moved."""
    places = _order(leaves(sample.student)[0].shape[1], seed).argsort()
    return {name: places[value] if name == "labels" else value for name, value in sample.context.items()}


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
