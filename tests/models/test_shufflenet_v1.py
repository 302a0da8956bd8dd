"""ShuffleNet for 32x32 images has the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

import pytest
import torch
from net_checks import check_export, check_gradients, shapes_of_children, size_and_work
from torch import nn

import stillroom as kd
from stillroom.errors import StillroomError
from stillroom.models import CifarShuffleNetV1, cifar_shufflenet_v1
from stillroom.models.parts import ChannelShuffle


def parameters_by_hand(num_classes: int) -> int:
    """A convolution has k*k*in*out/groups weights, a batch normalisation 2 per channel."""
    channels, total = 24, 3 * 24 + 2 * 24
    for out, blocks in ((240, 4), (480, 8), (960, 4)):
        for _ in range(blocks):
            new = out - channels if channels != out else out
            middle, groups = new // 4, 1 if channels == 24 else 3
            total += channels * middle // groups + 9 * middle + middle * new // 3 + 2 * (middle + middle + new)
            channels = out
    return total + 961 * num_classes


def test_parameters_and_multiplications() -> None:
    size, work = size_and_work(cifar_shufflenet_v1)
    assert size == parameters_by_hand(100)
    assert f"{size / 1e6:.2f} million" in cifar_shufflenet_v1.__doc__
    assert work == pytest.approx(38.7, abs=0.05)


def test_sites_are_the_children_in_order_with_the_stated_shapes() -> None:
    assert list(shapes_of_children(cifar_shufflenet_v1()).items()) == [
        ("stem", (24, 32, 32)),
        ("layer1", (240, 16, 16)),
        ("layer2", (480, 8, 8)),
        ("layer3", (960, 4, 4)),
        ("pool", (960,)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(cifar_shufflenet_v1(), 48, 21)
    assert (shapes["layer3"], shapes["fc"]) == ((960, 6, 3), (100,))


@pytest.mark.parametrize(("stage", "last"), [("layer1", 3), ("layer2", 7), ("layer3", 3)])
def test_the_value_before_the_last_relu_of_a_stage_can_be_read(stage: str, last: int) -> None:
    net = cifar_shufflenet_v1()
    with kd.record(net, before=f"{stage}.{last}.relu3:input", after=stage) as seen:
        net(torch.randn(2, 3, 16, 16))
    assert seen["before"].min() < 0
    assert torch.equal(seen["before"].relu(), seen["after"])


def test_blocks_add_to_their_input_or_stand_beside_it() -> None:
    net = cifar_shufflenet_v1().eval()
    for path, channels in (("layer2.1", 480), ("layer2.0", 240)):
        block, x = net.get_submodule(path), torch.randn(2, channels, 8, 8)
        nn.init.zeros_(block.bn3.weight)
        shortcut = x if path == "layer2.1" else nn.functional.avg_pool2d(x, 3, stride=2, padding=1)
        assert torch.equal(block(x)[:, -channels:], shortcut.relu())
        assert not block(x)[:, :-channels].any()


def test_a_relu_follows_the_depthwise_convolution() -> None:
    block, x = cifar_shufflenet_v1().eval().get_submodule("layer2.1"), torch.randn(2, 480, 8, 8)
    nn.init.zeros_(block.conv2.weight)
    nn.init.constant_(block.bn2.bias, 1.0)
    assert not torch.equal(block(x), x.relu())
    nn.init.constant_(block.bn2.bias, -1.0)
    assert torch.equal(block(x), x.relu())


def test_all_convolutions_but_the_stem_and_the_next_are_in_three_groups() -> None:
    net = cifar_shufflenet_v1()
    convolutions = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    pointwise = {name: m.groups for name, m in convolutions.items() if m.kernel_size == (1, 1)}
    assert [name for name, groups in pointwise.items() if groups == 1] == ["stem.0", "layer1.0.conv1"]
    assert set(pointwise.values()) == {1, 3}
    # A shuffle deals out the groups of the convolution before it.
    shuffles = {n: m.groups for n, m in net.named_modules() if isinstance(m, ChannelShuffle)}
    assert shuffles == {n.replace("conv1", "shuffle"): groups for n, groups in pointwise.items() if "conv1" in n}


def test_the_shuffle_deals_the_groups_out_in_turn() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 3, 3)
    assert ChannelShuffle(3)(x)[0, :, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]
    assert torch.equal(ChannelShuffle(2)(x), nn.ChannelShuffle(2)(x))
    assert torch.equal(ChannelShuffle(1)(x), x)


def test_it_learns_and_exports() -> None:
    check_gradients(cifar_shufflenet_v1(3))
    check_export(cifar_shufflenet_v1())


def test_no_classes_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        CifarShuffleNetV1(num_classes=0)
