"""MGD's mask and generator."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.connectors import MaskedGeneration


class Seen(nn.Module):
    """In place of the generator: what reaches it."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def masked(per: Any, ratio: float, *, training: bool = True, shape: tuple[int, ...] = (8, 16, 32, 32)) -> Tensor:
    connector = MaskedGeneration(shape[1], shape[1], mask_ratio=ratio, per=per).train(training)
    connector.generator = Seen()
    torch.manual_seed(0)
    return connector(torch.full(shape, 3.0))


@pytest.mark.parametrize("ratio", [0.0, 0.15, 0.65, 0.9])
def test_ratio_is_the_fraction_of_pixels_that_is_dropped(ratio: float) -> None:
    x = masked("space", ratio)
    assert torch.equal(x, x[:, :1].expand_as(x)), "a pixel is dropped in all channels"
    assert float((x == 0).float().mean()) == pytest.approx(ratio, abs=0.02)
    assert set(x.unique().tolist()) <= {0.0, 3.0}, "what is kept is not scaled"
    assert ratio == 0 or not torch.equal(x[0], x[1]), "each sample has its own mask"


@pytest.mark.parametrize("ratio", [0.0, 0.15, 0.65])
def test_ratio_is_the_fraction_of_channels_that_is_dropped(ratio: float) -> None:
    x = masked("channel", ratio, shape=(64, 128, 2, 2))
    assert torch.equal(x, x[:, :, :1, :1].expand_as(x)), "a channel is dropped everywhere"
    assert float((x == 0).float().mean()) == pytest.approx(ratio, abs=0.02)


def test_each_step_draws_another_mask_and_a_seed_repeats_it() -> None:
    connector, x = MaskedGeneration(3, 5), torch.randn(2, 3, 8, 8)
    assert not torch.equal(connector(x), connector(x))
    torch.manual_seed(5)
    first = connector(x)
    torch.manual_seed(5)
    assert torch.equal(connector(x), first)


@pytest.mark.parametrize("per", ["space", "channel"])
def test_nothing_is_dropped_or_drawn_in_evaluation(per: Any) -> None:
    connector, x = MaskedGeneration(3, 5, per=per).eval(), torch.randn(2, 3, 8, 8)
    state = torch.get_rng_state()
    got = connector(x)
    assert torch.equal(torch.get_rng_state(), state)
    first, _, second = connector.generator
    aligned = F.conv2d(x, connector.align.weight, connector.align.bias)
    hidden = F.relu(F.conv2d(aligned, first.weight, first.bias, padding=1))
    torch.testing.assert_close(got, F.conv2d(hidden, second.weight, second.bias, padding=1))


def test_channels_are_aligned_only_where_they_differ() -> None:
    assert list(MaskedGeneration(4, 4).align.parameters()) == []
    assert MaskedGeneration(3, 4).align.weight.shape == (4, 3, 1, 1)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, float("nan")])
def test_a_ratio_out_of_range_is_refused(ratio: float) -> None:
    message = f"mask_ratio is the fraction that is dropped; expected 0 <= mask_ratio < 1, got {ratio}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        MaskedGeneration(3, 5, mask_ratio=ratio)


def test_other_arguments_and_features_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"^unknown per; got 'chanel'\. Did you mean 'channel'\?$"):
        MaskedGeneration(3, 5, per="chanel")
    with pytest.raises(StillroomError, match=r"expected a map \(N, 3, H, W\), got a tensor of shape \(2, 5, 4, 4\)"):
        MaskedGeneration(3, 5)(torch.zeros(2, 5, 4, 4))
