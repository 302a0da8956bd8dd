from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy

from stillroom.errors import StillroomError
from stillroom.losses import InformationEntropy


def test_is_the_negative_entropy_of_the_mean_in_base_10() -> None:
    logits = 3 * torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = -entropy(logits.softmax(1).mean(0).numpy(), base=10)
    assert float(InformationEntropy()(logits)) == pytest.approx(expected, rel=1e-12)


def test_is_lowest_where_all_classes_are_as_frequent() -> None:
    """Whether each image is sure of its class or none is."""
    sure = 1e3 * torch.eye(4)
    assert float(InformationEntropy()(sure)) == pytest.approx(-math.log10(4))
    assert float(InformationEntropy()(torch.zeros(3, 4))) == pytest.approx(-math.log10(4))
    assert float(InformationEntropy()(sure[:1].repeat(3, 1))) == 0


def test_class_that_never_occurs_is_finite_with_its_gradient() -> None:
    """``0 · log 0`` is NaN in mmrazor, and so is the gradient of ``xlogy(p, p)``."""
    logits = torch.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, -1e4]], requires_grad=True)
    value = InformationEntropy()(logits)
    value.backward()
    assert float(value.detach()) == pytest.approx(-math.log10(2))
    assert bool(torch.isfinite(logits.grad).all())


def test_depends_on_the_batch() -> None:
    sure = 1e3 * torch.eye(2)
    assert float(InformationEntropy()(sure)) < float(InformationEntropy()(sure[:1]))


def test_anything_but_logits_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"^wrong number of axes; expected logits \(N, C\), got \(3,\)\.$"):
        InformationEntropy()(torch.zeros(3))
