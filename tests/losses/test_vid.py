from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distiller, Term
from stillroom.errors import StillroomError
from stillroom.losses import VID


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("variance", "eps"), [(5.0, 1e-5), (0.5, 0.1), (1e-3, 1e-5), (1e4, 1e-5)])
def test_variance_starts_as_given(variance: float, eps: float) -> None:
    loss = VID(4, 3, init_variance=variance, eps=eps)
    torch.testing.assert_close(loss.variance, torch.full((3,), variance), rtol=1e-4, atol=0)


def test_is_the_negative_log_likelihood_of_a_gaussian() -> None:
    """But for the constant ½ log 2 pi, which this loss leaves out."""
    loss, student, teacher = VID(4, 3), maps(2, 4, 5, 6), maps(2, 3, 5, 6, seed=1)
    mean = student
    for place, convolution in enumerate(loss.regressor):
        mean = convolution(F.relu(mean) if place else mean)
    density = torch.distributions.Normal(mean, loss.variance.sqrt().view(3, 1, 1)).log_prob(teacher)
    torch.testing.assert_close(loss(student, teacher), -density.mean() - math.log(2 * math.pi) / 2)


def test_larger_map_is_pooled_whichever_it_is() -> None:
    loss, large, small = VID(3, 3), maps(2, 3, 6, 4), maps(2, 3, 3, 4, seed=1)
    pooled = F.avg_pool2d(large, (2, 1))
    torch.testing.assert_close(loss(large, small), loss(pooled, small))
    torch.testing.assert_close(loss(small, large), loss(small, pooled))


def test_value_below_0_where_the_prediction_is_good_and_sure() -> None:
    assert VID(3, 2, init_variance=0.1)(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, 2)).item() == pytest.approx(
        math.log(0.1) / 2, rel=1e-5
    )


def test_variance_stays_above_eps_and_the_value_finite() -> None:
    loss = VID(3, 2, eps=1e-3)
    nn.init.constant_(loss.alpha, -1e4)
    value = loss(maps(2, 3, 2, 2), maps(2, 2, 2, 2, seed=1))
    value.backward()
    assert loss.variance.tolist() == pytest.approx([1e-3] * 2)
    assert torch.isfinite(value)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())


def test_regressor_and_variance_are_saved() -> None:
    """mdistiller keeps the variance in a plain list: never trained, never saved."""
    loss, other = VID(4, 3), VID(4, 3)
    assert [*loss.state_dict()] == ["alpha", *(f"regressor.{place}.weight" for place in range(3))]
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(maps(1, 4, 2, 2), maps(1, 3, 2, 2)), loss(maps(1, 4, 2, 2), maps(1, 3, 2, 2)))


def test_learns_in_a_distiller() -> None:
    student, teacher = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Conv2d(1, 3, 3))
    loss = VID(4, 3)
    distiller = Distiller(student, teacher, terms={"vid": Term(loss, student="0", teacher="0")})
    held = {id(parameter) for parameter in distiller.parameters()}
    assert {id(parameter) for parameter in loss.parameters()} <= held
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    values: list[float] = []
    for _ in range(5):
        optimizer.zero_grad()
        value = distiller(maps(4, 1, 6, 6)).loss
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values == sorted(values, reverse=True)
    assert all(not torch.equal(value, before[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize("name", ["student_channels", "teacher_channels"])
def test_no_channels_are_refused(name: str) -> None:
    with pytest.raises(StillroomError, match=rf"^a map without channels; expected {name} >= 1 and finite, got 0\.$"):
        VID(**{"student_channels": 3, "teacher_channels": 3, name: 0})


@pytest.mark.parametrize(("variance", "eps"), [(5.0, 0.0), (5.0, -1.0), (0.1, 0.1), (math.inf, 0.1), (math.nan, 0.1)])
def test_variance_out_of_range_is_refused(variance: float, eps: float) -> None:
    with pytest.raises(
        StillroomError,
        match=rf"^no such variance; expected 0 < eps < init_variance and finite, "
        rf"got eps {eps} and init_variance {variance}\.$",
    ):
        VID(3, 3, init_variance=variance, eps=eps)


@pytest.mark.parametrize(("student", "teacher"), [(4, 4), (3, 3), (3, 4)])
def test_other_channels_are_refused(student: int, teacher: int) -> None:
    with pytest.raises(
        StillroomError,
        match=r"^the loss is for other channels; expected student C = 4 and teacher C = 3, "
        rf"got student \(2, {student}, 5, 5\) and teacher \(2, {teacher}, 5, 5\)\.$",
    ):
        VID(4, 3)(maps(2, student, 5, 5), maps(2, teacher, 5, 5))


def test_other_batch_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"expected the same N, got student \(2, 4, 5, 5\) and teacher \(1, 3, 5"):
        VID(4, 3)(maps(2, 4, 5, 5), maps(1, 3, 5, 5))
