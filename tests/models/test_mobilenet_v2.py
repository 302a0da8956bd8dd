"""MobileNetV2 for 32x32 images has the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from net_checks import check_export, check_gradients, shapes_of_children, size_and_work
from torch import nn

from stillroom.errors import StillroomError
from stillroom.models import CifarMobileNetV2, cifar_mobilenet_v2

# Expansion, channels and number of bottlenecks of the stages.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


def parameters_by_hand(width: float, num_classes: int) -> int:
    """A convolution has k*k*in*out/groups weights, a batch normalisation 2 per channel."""
    channels = int(32 * width)
    total = 9 * 3 * channels + 2 * channels
    for expansion, base, count in STAGES:
        out = int(base * width)
        for _ in range(count):
            wide = channels * expansion
            total += channels * wide + 2 * wide + 9 * wide + 2 * wide + wide * out + 2 * out
            channels = out
    return total + channels * 1280 + 2 * 1280 + 1281 * num_classes


@pytest.mark.parametrize(("width", "published_work"), [(0.5, 6.5), (1.0, None)])
def test_parameters_and_multiplications(width: float, published_work: float | None) -> None:
    size, work = size_and_work(partial(cifar_mobilenet_v2, width=width))
    assert size == parameters_by_hand(width, 100)
    assert f"{size / 1e6:.2f} million" in cifar_mobilenet_v2.__doc__
    if published_work is not None:
        assert work == pytest.approx(published_work, abs=0.05)


def test_the_literatures_is_half_as_wide() -> None:
    assert list(shapes_of_children(cifar_mobilenet_v2()).items()) == [
        ("stem", (16, 16, 16)),
        ("layer1", (8, 16, 16)),
        ("layer2", (12, 16, 16)),
        ("layer3", (16, 8, 8)),
        ("layer4", (32, 4, 4)),
        ("layer5", (48, 4, 4)),
        ("layer6", (80, 2, 2)),
        ("layer7", (160, 2, 2)),
        ("head", (1280, 2, 2)),
        ("pool", (1280,)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(cifar_mobilenet_v2(width=1.0), 64, 41)
    assert (shapes["layer7"], shapes["fc"]) == ((320, 4, 3), (100,))


def test_bottlenecks_are_linear_and_add_to_their_input_where_its_shape_is_kept() -> None:
    net = cifar_mobilenet_v2().eval()
    narrow = [name for name, m in net.named_modules() if getattr(m, "has_shortcut", False)]
    assert narrow == [f"layer{s}.{b}" for s, (_, _, n) in enumerate(STAGES, 1) for b in range(1, n)]
    x = torch.randn(2, 16, 4, 4)
    block = net.get_submodule("layer3.1")
    nn.init.zeros_(block.bn3.weight)
    assert torch.equal(block(x), x)


def test_a_relu_without_a_bound_follows_the_depthwise_convolution() -> None:
    block = cifar_mobilenet_v2().eval().get_submodule("layer3.1")
    nn.init.zeros_(block.conv2.weight)
    x, added = torch.randn(2, 16, 4, 4), {}
    for bias in (-10.0, 10.0, 20.0):
        nn.init.constant_(block.bn2.bias, bias)
        added[bias] = block(x) - x
    assert not added[-10.0].any()
    assert added[10.0].any()
    torch.testing.assert_close(added[20.0], 2 * added[10.0], rtol=1e-4, atol=1e-4)


def test_it_starts_as_the_authors_do() -> None:
    torch.manual_seed(0)
    net = cifar_mobilenet_v2()
    depthwise = net.get_submodule("layer7.0.conv2").weight
    assert depthwise.std().item() == pytest.approx((2 / (9 * 480)) ** 0.5, rel=0.05)
    assert net.fc.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not net.fc.bias.any()


def test_it_learns_and_exports() -> None:
    check_gradients(cifar_mobilenet_v2(3))
    check_export(cifar_mobilenet_v2())


def test_other_widths_and_no_classes_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"unknown width of a MobileNetV2; expected 0\.5 or 1\.0, got 0\.75\."):
        CifarMobileNetV2(width=0.75)
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        cifar_mobilenet_v2(0)
