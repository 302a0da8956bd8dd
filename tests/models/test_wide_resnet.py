"""The wide ResNets for 32x32 images have the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from net_checks import check_export, check_gradients, parameters, shapes_of_children, size_and_work
from torch import nn

import stillroom as kd
from stillroom import models
from stillroom.connectors import OFDMargin
from stillroom.errors import StillroomError
from stillroom.models import WideResNet

# Depth, widen factor, and published millions of multiply-adds for 100 classes; None where no figure was found.
NETS = {
    "wrn_16_1": (16, 1, None),
    "wrn_16_2": (16, 2, 101.1),
    "wrn_16_4": (16, 4, None),
    "wrn_28_4": (28, 4, None),
    "wrn_28_10": (28, 10, None),
    "wrn_40_1": (40, 1, 83.3),
    "wrn_40_2": (40, 2, 327.6),
}
# For 10 classes, as others have counted theirs.
PUBLISHED = {"wrn_16_1": 175_066, "wrn_16_2": 691_674, "wrn_16_4": 2_748_890, "wrn_40_1": 563_930}
BEFORE_RELU = ("layer2.0.bn1", "layer3.0.bn1", "bn")


def parameters_by_hand(depth: int, factor: int, num_classes: int) -> int:
    """A k x k convolution has k*k*in*out weights, a batch normalisation 2 per channel."""
    blocks, total = (depth - 4) // 6, 9 * 3 * 16
    for before, width in pairwise((16, 16 * factor, 32 * factor, 64 * factor)):
        total += 9 * before * width + (2 * blocks - 1) * 9 * width * width
        total += 2 * before + 2 * width * (2 * blocks - 1)
        total += before * width if before != width else 0
    return total + 2 * 64 * factor + (64 * factor + 1) * num_classes


@pytest.mark.parametrize("name", NETS)
def test_parameters_and_multiplications(name: str) -> None:
    depth, factor, published_work = NETS[name]
    size, work = size_and_work(getattr(models, name))
    assert size == parameters_by_hand(depth, factor, 100)
    assert f"{size / 1e6:.2f} million" in getattr(models, name).__doc__
    if published_work is not None:
        assert work == pytest.approx(published_work, abs=0.05)
    if name in PUBLISHED:
        with torch.device("meta"):
            assert parameters(getattr(models, name)(10)) == PUBLISHED[name]


def test_blocks_are_as_many_as_the_name_says() -> None:
    with torch.device("meta"):
        for name, (depth, _, _) in NETS.items():
            kernels = [m.kernel_size for m in getattr(models, name)().modules() if isinstance(m, nn.Conv2d)]
            assert kernels.count((3, 3)) == 1 + depth - 4


def test_sites_are_the_children_in_order_with_the_stated_shapes() -> None:
    assert list(shapes_of_children(models.wrn_16_2()).items()) == [
        ("stem", (16, 32, 32)),
        ("layer1", (32, 32, 32)),
        ("layer2", (64, 16, 16)),
        ("layer3", (128, 8, 8)),
        ("bn", (128, 8, 8)),
        ("relu", (128, 8, 8)),
        ("pool", (128,)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(models.wrn_16_1(), 36, 21)
    assert (shapes["layer3"], shapes["fc"]) == ((64, 9, 6), (100,))


def test_ofd_reads_batch_normalisations_that_run_once() -> None:
    net = models.wrn_16_2()
    calls = []
    for path in BEFORE_RELU:
        net.get_submodule(path).register_forward_hook(lambda _m, _x, _out, path=path: calls.append(path))
    after = {path: path.replace("bn1", "relu1") if "bn1" in path else "relu" for path in BEFORE_RELU}
    sites = {path.replace(".", "_"): path for path in (*BEFORE_RELU, *after.values())}
    with kd.record(net, **sites) as seen:
        net(torch.randn(2, 3, 32, 32))
    assert calls == list(BEFORE_RELU)
    for path, relu in after.items():
        value = seen[path.replace(".", "_")]
        assert value.min() < 0
        assert torch.equal(value.relu(), seen[relu.replace(".", "_")])
        assert OFDMargin.of(net.get_submodule(path)).margin.isfinite().all()


def test_a_shortcut_that_changes_the_shape_starts_behind_the_first_relu() -> None:
    net = models.wrn_16_2().eval()
    block, x = net.get_submodule("layer2.0"), torch.randn(2, 32, 8, 8)
    nn.init.zeros_(block.conv2.weight)
    torch.testing.assert_close(block(x), block.shortcut(block.bn1(x).relu()))
    block, x = net.get_submodule("layer2.1"), torch.randn(2, 64, 8, 8)
    nn.init.zeros_(block.conv1.weight)
    nn.init.constant_(block.bn2.bias, -1.0)  # nothing of it passes the second ReLU
    torch.testing.assert_close(block(x), x)


def test_it_starts_as_the_authors_do() -> None:
    torch.manual_seed(0)
    net = models.wrn_16_4()
    weight = net.get_submodule("layer2.0.conv1").weight
    assert weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert not net.fc.bias.any()


def test_it_learns_and_exports() -> None:
    check_gradients(models.wrn_16_1(3))
    check_export(models.wrn_16_1())


@pytest.mark.parametrize("depth", [4, 17, 20])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(StillroomError, match=rf"WideResNet is 6n \+ 4; expected 10, 16, 22, 28, \.\.\., got {depth}\."):
        WideResNet(depth=depth)


def test_no_width_and_no_classes_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"bad widen_factor; expected 1 or more, got 0\."):
        WideResNet(widen_factor=0)
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got -1\."):
        models.wrn_40_2(-1)
