from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stillroom.distillers import Term
from stillroom.errors import StillroomError
from stillroom.losses import OneHotLike, hard_label


def test_is_the_cross_entropy_to_the_own_decision() -> None:
    logits = 3 * torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = -logits.softmax(1).max(1).values.log().mean()
    assert float(OneHotLike()(logits)) == pytest.approx(float(expected))
    assert torch.equal(OneHotLike()(logits), hard_label(logits, logits))


def test_is_largest_where_the_network_is_undecided_and_0_where_it_is_sure() -> None:
    assert float(OneHotLike()(torch.zeros(2, 8))) == pytest.approx(math.log(8))
    assert float(OneHotLike()(torch.tensor([[1e4, -1e4]]))) == 0


def test_gradient_reaches_the_generator_through_a_frozen_teacher() -> None:
    generator, teacher = nn.Linear(3, 4), nn.Linear(4, 5).requires_grad_(False)
    OneHotLike()(teacher(generator(torch.randn(2, 3)))).backward()
    assert bool(generator.weight.grad.any())
    assert teacher.weight.grad is None


def test_term_needs_no_teacher() -> None:
    assert not Term(OneHotLike()).needs_teacher


def test_anything_but_logits_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"^wrong number of axes; expected logits \(N, C\), got \(2, 3, 4, 4\)\.$"):
        OneHotLike()(torch.zeros(2, 3, 4, 4))
    with pytest.raises(
        StillroomError, match=r"^the input must be a tensor; expected logits \(N, C\), got tuple of 2\.$"
    ):
        OneHotLike()((torch.zeros(2, 3), None))
