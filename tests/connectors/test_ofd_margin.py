"""OFD's margin against the integral that it stands for."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn

from stillroom import StillroomError
from stillroom.connectors import OFDMargin
from stillroom.connectors.ofd_margin import margins


def norm_of(gamma: list[float], beta: list[float]) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(gamma)).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(gamma, dtype=torch.float64))
        norm.bias.copy_(torch.tensor(beta, dtype=torch.float64))
    return norm


def mean_below_zero(gamma: float, beta: float) -> float:
    """E[x | x < 0] of a normal x, by numerical integration."""
    x = stats.norm(beta, abs(gamma))
    area, _ = integrate.quad(lambda v: v * x.pdf(v), beta - 12 * abs(gamma), 0, points=[min(beta, 0)], epsabs=1e-13)
    return area / float(x.cdf(0))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 5), st.floats(-3, 3.05), st.sampled_from([-1, 1]))
def test_margin_is_the_mean_of_the_negative_values(size: float, ratio: float, sign: int) -> None:
    gamma, beta = sign * size, ratio * size
    got = float(margins(torch.tensor([gamma]).double(), torch.tensor([beta]).double()))
    assert got == pytest.approx(mean_below_zero(gamma, beta), rel=1e-6)


def test_margin_of_a_channel_that_is_hardly_ever_negative_is_three_deviations() -> None:
    """Φ(−3.09) is above one in a thousand, Φ(−3.1) is not."""
    margin = OFDMargin.of(norm_of([2.0, -2.0, 1.0], [6.2, 20.0, 3.09])).margin
    assert margin[:2].tolist() == [-6.0, -6.0]
    assert margin[2] == pytest.approx(mean_below_zero(1.0, 3.09), rel=1e-6)


def test_margin_of_a_constant_channel_is_the_constant_if_it_is_negative() -> None:
    norm = norm_of([0.0, 0.0, 0.0, 1e-300], [-0.7, 0.4, 0.0, -0.7])
    assert OFDMargin.of(norm).margin.tolist() == [-0.7, 0.0, 0.0, -0.7]


def test_map_is_cut_channel_by_channel() -> None:
    connector = OFDMargin.of(norm_of([1.0, 1.0], [0.0, 0.0]))
    half = -math.sqrt(2 / math.pi)
    assert connector.margin.tolist() == pytest.approx([half, half])
    x = torch.tensor([[-3.0, half - 0.1, half + 0.1, 2.0], [-0.5, 0.0, 1.0, -1.0]]).double().view(1, 2, 2, 2)
    expected = [half, half, half + 0.1, 2.0, -0.5, 0.0, 1.0, half]
    assert connector(x).flatten().tolist() == pytest.approx(expected)


def test_margin_is_a_buffer_without_gradient_that_is_saved_and_loaded() -> None:
    fitted = OFDMargin.of(norm_of([0.5, 2.0], [-1.0, 0.3]))
    assert list(fitted.parameters()) == []
    assert not fitted.margin.requires_grad
    loaded = OFDMargin(2).double()
    loaded.load_state_dict(fitted.state_dict())
    x = torch.randn(2, 2, 3, 3).double()
    assert torch.equal(loaded(x), fitted(x))
    assert torch.equal(copy.deepcopy(OFDMargin(2)).double().fit(norm_of([0.5, 2.0], [-1.0, 0.3]))(x), fitted(x))


def test_margin_follows_the_teachers_type() -> None:
    assert OFDMargin.of(nn.BatchNorm2d(3)).margin.dtype is torch.float32
    assert OFDMargin.of(nn.BatchNorm2d(3).bfloat16()).margin.dtype is torch.bfloat16


def test_a_batch_norm_on_a_device_without_float64(without_float64) -> None:
    gamma, beta = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    assert torch.equal(margins(without_float64(gamma), without_float64(beta)), margins(gamma, beta))


def test_margin_is_that_of_the_moment_it_was_taken() -> None:
    norm = norm_of([1.0], [0.0])
    connector = OFDMargin.of(norm)
    before = connector.margin.clone()
    nn.init.constant_(norm.bias, -5.0)
    assert torch.equal(connector.margin, before)
    assert float(connector.fit(norm).margin) == pytest.approx(mean_below_zero(1.0, -5.0))


def test_a_margin_that_was_never_taken_shows_in_the_first_value() -> None:
    assert OFDMargin(3)(torch.randn(2, 3, 4, 4)).isnan().all()


def test_a_frozen_batch_norm_keeps_scale_and_shift_as_buffers() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(2))
            self.register_buffer("bias", torch.zeros(2))

    assert OFDMargin.of(Frozen()).margin.tolist() == pytest.approx([-math.sqrt(2 / math.pi)] * 2)


@pytest.mark.parametrize("module", [nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 3, 1), nn.ReLU()])
def test_a_module_without_scale_and_shift_is_refused(module: nn.Module) -> None:
    message = f"a margin needs a batch norm with scale and shift for each channel; got {module!r}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        OFDMargin.of(module)


def test_other_numbers_of_channels_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"^the batch norm has another number of channels; expected 3, got 4\.$"):
        OFDMargin(3).fit(nn.BatchNorm2d(4))
    with pytest.raises(StillroomError, match=r"^channels must be a whole number, at least 1; got 0\.$"):
        OFDMargin(0)
    with pytest.raises(
        StillroomError, match=r"^OFDMargin cannot read .* expected a map \(N, 3, H, W\), got .* \(2, 4, 5, 5\)"
    ):
        OFDMargin(3)(torch.zeros(2, 4, 5, 5))


def test_it_meets_the_teacher_that_has_the_batch_norm() -> None:
    margin = OFDMargin(2, batch_norm="1")
    assert margin.margin.isnan().all()
    margin.double().meet(nn.Sequential(nn.Conv2d(3, 2, 1), norm_of([1.0, -2.0], [0.5, 0.0])))
    expected = [mean_below_zero(1.0, 0.5), mean_below_zero(2.0, 0.0)]
    assert margin.margin.tolist() == pytest.approx(expected, rel=1e-6)
    OFDMargin(2).meet(nn.Identity())  # knows none, and asks for none
    message = "batch_norm: Sequential has no module '2'"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        OFDMargin(2, batch_norm="2").meet(nn.Sequential(nn.ReLU(), nn.ReLU()))
