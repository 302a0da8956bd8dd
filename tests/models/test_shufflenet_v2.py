"""ShuffleNetV2 for 32x32 images has the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from net_checks import check_export, check_gradients, shapes_of_children, size_and_work
from torch import nn

import stillroom as kd
from stillroom.errors import StillroomError
from stillroom.models import CifarShuffleNetV2, cifar_shufflenet_v2

# Channels of the stages and of the head, and published millions of multiply-adds where found.
WIDTHS = {
    0.5: ((48, 96, 192, 1024), None),
    1.0: ((116, 232, 464, 1024), 44.5),
    1.5: ((176, 352, 704, 1024), None),
    2.0: ((244, 488, 976, 2048), None),
}


def parameters_by_hand(widths: tuple[int, ...], num_classes: int) -> int:
    """A convolution has k*k*in*out/groups weights, a batch normalisation 2 per channel."""

    def branch(channels: int, out: int) -> int:
        return channels * out + 2 * out + 9 * out + 2 * out + out * out + 2 * out

    channels, total = 24, 3 * 24 + 2 * 24
    for out, blocks in zip(widths, (3, 7, 3), strict=False):
        half = out // 2
        total += 9 * channels + 2 * channels + channels * half + 2 * half  # the left branch
        total += branch(channels, half) + blocks * branch(half, half)
        channels = out
    return total + channels * widths[3] + 2 * widths[3] + (widths[3] + 1) * num_classes


@pytest.mark.parametrize("width", WIDTHS)
def test_parameters_and_multiplications(width: float) -> None:
    channels, published_work = WIDTHS[width]
    size, work = size_and_work(partial(cifar_shufflenet_v2, width=width))
    assert size == parameters_by_hand(channels, 100)
    if published_work is not None:
        assert f"{size / 1e6:.2f} million" in cifar_shufflenet_v2.__doc__
        assert work == pytest.approx(published_work, abs=0.05)


def test_sites_are_the_children_in_order_with_the_stated_shapes() -> None:
    assert list(shapes_of_children(cifar_shufflenet_v2()).items()) == [
        ("stem", (24, 32, 32)),
        ("layer1", (116, 16, 16)),
        ("layer2", (232, 8, 8)),
        ("layer3", (464, 4, 4)),
        ("head", (1024, 4, 4)),
        ("pool", (1024,)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(cifar_shufflenet_v2(width=0.5), 48, 21)
    assert (shapes["layer3"], shapes["fc"]) == ((192, 6, 3), (100,))


@pytest.mark.parametrize(("stage", "last"), [("layer1", 3), ("layer2", 7), ("layer3", 3)])
def test_the_value_before_the_last_relu_of_a_stage_can_be_read(stage: str, last: int) -> None:
    net = cifar_shufflenet_v2()
    with kd.record(net, before=f"{stage}.{last}.relu:input", after=stage) as seen:
        net(torch.randn(2, 3, 16, 16))
    assert seen["before"][:, 1::2].min() < 0  # what the block has worked on
    assert seen["before"][:, ::2].min() >= 0  # what it has kept
    assert torch.equal(seen["before"].relu(), seen["after"])


def test_a_block_keeps_the_first_half_of_its_channels_and_deals_both_halves_out_in_turn() -> None:
    net = cifar_shufflenet_v2().eval()
    block, x = net.get_submodule("layer1.1"), torch.rand(2, 116, 8, 8)
    worked = block.right(x[:, 58:])
    assert torch.equal(block(x)[:, ::2], x[:, :58])
    assert torch.equal(block(x)[:, 1::2], worked.relu())
    down, x = net.get_submodule("layer1.0"), torch.rand(2, 24, 8, 8)
    assert torch.equal(down(x)[:, ::2], down.left(x).relu())
    assert torch.equal(down(x)[:, 1::2], down.right(x).relu())


def test_convolutions_of_depth_have_no_relu_behind_them() -> None:
    block = cifar_shufflenet_v2(width=0.5).get_submodule("layer1.1.right")
    kinds = [type(layer) for layer in block]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d]


def test_it_learns_and_exports() -> None:
    check_gradients(cifar_shufflenet_v2(3, width=0.5))
    check_export(cifar_shufflenet_v2(width=0.5))


def test_other_widths_and_no_classes_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"width of a ShuffleNetV2; expected one of 0\.5, 1\.0, 1\.5, 2\.0, got 3\."
    ):
        CifarShuffleNetV2(width=3)
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        cifar_shufflenet_v2(0)
