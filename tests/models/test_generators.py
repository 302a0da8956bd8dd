"""Generators: their layers, the size and the range of what they make."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.models import DAFLGenerator, ZSKTGenerator

KINDS = [DAFLGenerator, ZSKTGenerator]
LAYERS = ["Linear", "Unflatten", "BatchNorm2d", *["Upsample", "Conv2d", "BatchNorm2d", "LeakyReLU"] * 2, "Conv2d"]


def layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if not list(module.children())]


def made(model: nn.Module, count: int = 16, *, latent: int = 7) -> torch.Tensor:
    return model(torch.randn(count, latent, generator=torch.Generator().manual_seed(3)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_the_layers() -> None:
    """By their names and their settings, in order."""
    dafl, zskt = (layers(kind(image_size=8, latent=7, hidden=6)) for kind in KINDS)
    assert [type(layer).__name__ for layer in dafl] == [*LAYERS, "Tanh", "BatchNorm2d"]
    assert [type(layer).__name__ for layer in zskt] == [*LAYERS, "BatchNorm2d"]
    for found in (dafl, zskt):
        assert [(layer.in_channels, layer.out_channels) for layer in found if isinstance(layer, nn.Conv2d)] == [
            (6, 6),
            (6, 3),
            (3, 3),
        ]
        assert {layer.negative_slope for layer in found if isinstance(layer, nn.LeakyReLU)} == {0.2}
        assert {(layer.scale_factor, layer.mode) for layer in found if isinstance(layer, nn.Upsample)} == {
            (2.0, "nearest")
        }


@pytest.mark.parametrize(
    ("model", "eps", "affine"),
    [
        (DAFLGenerator(image_size=8, latent=7, hidden=6), [1e-5, 0.8, 0.8, 1e-5], [True, True, True, False]),
        (DAFLGenerator(image_size=8, latent=7, hidden=6, eps=1e-5), [1e-5] * 4, [True, True, True, False]),
        (ZSKTGenerator(image_size=8, latent=7, hidden=6), [1e-5] * 4, [True] * 4),
    ],
)
def test_the_normalisations(model: nn.Module, eps: list[float], affine: list[bool]) -> None:
    norms = [layer for layer in layers(model) if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.eps for norm in norms] == eps
    assert [norm.affine for norm in norms] == affine


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "channels"), [(4, 1), (8, 1), (20, 3), (32, 3)])
def test_the_shape_and_the_range_of_a_batch(kind: type[nn.Module], size: int, channels: int) -> None:
    """Standardised, as the images of the data modules are."""
    images = made(kind(image_size=size, latent=7, hidden=8, channels=channels))
    assert images.shape == (16, channels, size, size)
    deviation, mean = torch.std_mean(images, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(channels), rtol=0, atol=1e-4)
    torch.testing.assert_close(deviation, torch.ones(channels), rtol=0, atol=2e-2)
    assert images.abs().max() > 1  # tanh alone would not reach it


def test_each_number_counts() -> None:
    for kind in KINDS:
        numbers = torch.randn(4, 7, requires_grad=True)
        kind(image_size=8, latent=7, hidden=8)(numbers).pow(3).sum().backward()
        assert (numbers.grad != 0).all()


def test_the_authors_sizes() -> None:
    """For CIFAR: 128 maps of 8x8 from 1000 numbers, then 128, 64 and 3."""
    count = sum(p.numel() for p in DAFLGenerator(image_size=32, latent=1000).parameters())
    linear, norms = 1001 * 128 * 64, 2 * (128 + 128 + 64)
    assert count == linear + norms + 128 * (128 * 9 + 1) + 64 * (128 * 9 + 1) + 3 * (64 * 9 + 1)
    assert sum(p.numel() for p in ZSKTGenerator(image_size=32, latent=1000).parameters()) == count + 2 * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_size": 30}, "bad image_size; expected a multiple of 4, since the maps double twice, got 30."),
        ({"image_size": 0}, "bad image_size; expected 1 or more, got 0."),
        ({"latent": 0}, "bad latent; expected 1 or more, got 0."),
        ({"hidden": 7}, "bad hidden; expected an even number from 2, got 7."),
        ({"channels": -1}, "bad channels; expected 1 or more, got -1."),
    ],
)
def test_bad_arguments(kind: type[nn.Module], changed: dict[str, int], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        kind(**{"image_size": 8, "latent": 7, **changed})


def test_a_bad_eps() -> None:
    with pytest.raises(StillroomError, match=r"^bad eps; expected more than 0, got 0\.$"):
        DAFLGenerator(image_size=8, latent=7, eps=0)
