"""Connectors adapt one feature; "auto" finds which."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.connectors import Conv1x1, Identity, Linear, infer


def test_conv1x1_mixes_channels_pixel_by_pixel() -> None:
    connector, x = Conv1x1(3, 5), torch.randn(2, 3, 4, 6)
    expected = torch.einsum("oi,nihw->nohw", connector.conv.weight[:, :, 0, 0], x) + connector.conv.bias.view(5, 1, 1)
    torch.testing.assert_close(connector(x), expected)


@pytest.mark.parametrize("shape", [(2, 3), (2, 7, 3)])
def test_linear_maps_the_last_axis(shape: tuple[int, ...]) -> None:
    connector, x = Linear(3, 5), torch.randn(shape)
    torch.testing.assert_close(connector(x), F.linear(x, connector.linear.weight, connector.linear.bias))


def test_identity_returns_its_argument() -> None:
    x = torch.randn(2, 3)
    assert Identity()(x) is x
    assert list(Identity().parameters()) == []


@pytest.mark.parametrize(
    ("have", "want", "kind"),
    [
        ((2, 3, 4, 4), (2, 3, 4, 4), Identity),
        ((2, 3), (2, 3), Identity),
        ((2, 3, 4, 4, 4), (2, 3, 4, 4, 4), Identity),
        ((2, 3, 4, 6), (2, 8, 4, 6), Conv1x1),
        ((2, 3), (2, 8), Linear),
        ((2, 7, 3), (2, 7, 8), Linear),
    ],
)
def test_auto_maps_one_shape_to_the_other(have: tuple[int, ...], want: tuple[int, ...], kind: type[nn.Module]) -> None:
    connector = infer(have, want)
    assert type(connector) is kind
    assert connector(torch.randn(have)).shape == want


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((2, 3, 4, 4), (2, 3, 8, 8)),
        ((2, 3, 4, 4), (2, 8, 4, 5)),
        ((2, 3, 4, 4), (2, 8)),
        ((2, 7, 3), (2, 9, 3)),
        ((2, 3), (4, 3)),
        ((2, 3, 4, 4), (4, 8, 4, 4)),
        ((2, 3, 4, 4, 4), (2, 8, 4, 4, 4)),
        ((2,), (3,)),
    ],
)
def test_auto_refuses_what_it_cannot_adapt(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    message = (
        'connector "auto" cannot adapt these shapes; expected maps of equal height and width, or vectors or tokens of '
        f"equal number, got student {have}, teacher {want}. "
        "Choose sites of equal resolution, or give a connector of your own: any nn.Module."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        infer(have, want)
