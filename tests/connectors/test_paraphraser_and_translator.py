"""Factor Transfer: the paraphraser and the translator."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.connectors import Paraphraser, Translator


def test_the_factor_is_three_convolutions_with_leaky_relu() -> None:
    paraphraser, x = Paraphraser(6, 3), torch.randn(2, 6, 4, 5)
    y = x
    for layer, widths in zip(paraphraser.encoder[::2], [(6, 6), (6, 3), (3, 3)], strict=True):
        assert (layer.in_channels, layer.out_channels) == widths
        y = F.leaky_relu(F.conv2d(y, layer.weight, layer.bias, padding=1), 0.1)
    torch.testing.assert_close(paraphraser(x), y)
    for layer, widths in zip(paraphraser.decoder[::2], [(3, 3), (3, 6), (6, 6)], strict=True):
        assert (layer.in_channels, layer.out_channels) == widths
        y = F.leaky_relu(F.conv_transpose2d(y, layer.weight, layer.bias, padding=1), 0.1)
    torch.testing.assert_close(paraphraser.reconstruct(x), y)


def test_the_paraphraser_learns_to_reconstruct() -> None:
    torch.manual_seed(0)
    paraphraser = Paraphraser(4, 2)
    x = F.relu(torch.randn(8, 2, 6, 6)).repeat(1, 2, 1, 1)
    optimizer = torch.optim.Adam(paraphraser.parameters(), lr=0.01)
    errors = []
    for _ in range(120):
        error = F.mse_loss(paraphraser.reconstruct(x), x)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0]


def test_the_translator_has_batch_norm_and_no_bias() -> None:
    translator, x = Translator(4, 3), torch.randn(2, 4, 4, 5)
    y = x
    for conv, norm in zip(translator.encoder[::3], translator.encoder[1::3], strict=True):
        assert conv.bias is None
        y = F.batch_norm(F.conv2d(y, conv.weight, padding=1), None, None, norm.weight, norm.bias, training=True)
        y = F.leaky_relu(y, 0.1)
    torch.testing.assert_close(translator(x), y)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in Paraphraser(4, 3).modules())


@pytest.mark.parametrize("kind", [Paraphraser, Translator])
def test_what_does_not_fit_is_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(StillroomError, match=r"^factor_channels must be a whole number, at least 1; got 0\.$"):
        kind(4, 0)
    message = (
        f"{kind.__name__} cannot read this feature; expected a map (N, 4, H, W), got a tensor of shape (2, 3, 5, 5)."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        kind(4, 3)(torch.zeros(2, 3, 5, 5))
