"""The ResNets for 32x32 images have the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stillroom import models
from stillroom.errors import StillroomError
from stillroom.models import CifarResNet

# Millions of multiply-adds of one 32x32 image, 100 classes, as published; None where no figure was found.
NETS = {
    "resnet8": (8, (16, 16, 32, 64), None),
    "resnet14": (14, (16, 16, 32, 64), None),
    "resnet20": (20, (16, 16, 32, 64), 40.8),
    "resnet32": (32, (16, 16, 32, 64), 69.1),
    "resnet44": (44, (16, 16, 32, 64), None),
    "resnet56": (56, (16, 16, 32, 64), 125.8),
    "resnet110": (110, (16, 16, 32, 64), 253.2),
    "resnet8x4": (8, (32, 64, 128, 256), 177.1),
    "resnet32x4": (32, (32, 64, 128, 256), 1083.0),
}
PUBLISHED = {"resnet20": 0.278, "resnet56": 0.862, "resnet8x4": 1.23, "resnet32x4": 7.43}


def parameters_by_hand(depth: int, widths: tuple[int, ...], num_classes: int) -> int:
    """Sums over the layers: a k x k convolution has k*k*in*out weights, a batch normalisation 2 per channel."""
    total = 9 * 3 * widths[0] + 2 * widths[0]
    for stage, (before, width) in enumerate(pairwise(widths)):
        blocks = (depth - 2) // 6
        total += 9 * before * width + (2 * blocks - 1) * 9 * width * width + 2 * blocks * 2 * width
        if stage > 0 or before != width:
            total += before * width + 2 * width
    return total + (widths[3] + 1) * num_classes


@pytest.mark.parametrize("name", NETS)
def test_parameters_and_multiplications(name: str) -> None:
    depth, widths, published_macs = NETS[name]
    net: CifarResNet = getattr(models, name)().eval()
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert parameters == parameters_by_hand(depth, widths, 100)
    if name in PUBLISHED:
        assert parameters / 1e6 == pytest.approx(PUBLISHED[name], rel=4e-3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 100)
    if published_macs is not None:
        assert counter.get_total_flops() / 2e6 == pytest.approx(published_macs, abs=0.05)


def test_layers_with_weights_are_as_many_as_the_name_says() -> None:
    net = models.resnet20(num_classes=7)
    main_path = [
        name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(main_path) == 20
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 7)


def test_sites_are_the_children_in_order_with_the_stated_shapes() -> None:
    net, shapes = models.resnet8x4(), {}

    def note(name: str) -> None:
        net.get_submodule(name).register_forward_hook(lambda _m, _x, out: shapes.update({name: tuple(out.shape[1:])}))

    names = [name for name, _ in net.named_children()]
    assert names == ["stem", "layer1", "layer2", "layer3", "pool", "fc"]
    for name in names:
        note(name)
    net(torch.randn(2, 3, 32, 32))
    assert shapes == {
        "stem": (32, 32, 32),
        "layer1": (64, 32, 32),
        "layer2": (128, 16, 16),
        "layer3": (256, 8, 8),
        "pool": (256,),
        "fc": (100,),
    }


def test_the_value_before_the_last_relu_can_be_read_and_is_not_overwritten() -> None:
    net = models.resnet20()
    before: list[Tensor] = []
    after: list[Tensor] = []
    net.get_submodule("layer2.2.relu2").register_forward_pre_hook(lambda _m, args: before.append(args[0]))
    net.layer2.register_forward_hook(lambda _m, _x, out: after.append(out))
    net(torch.randn(2, 3, 32, 32))
    assert before[0].min() < 0
    assert torch.equal(before[0].relu(), after[0])


def test_it_learns_from_every_parameter() -> None:
    net = models.resnet8(num_classes=3)
    nn.functional.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


@pytest.mark.parametrize("depth", [2, 9, 18])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(StillroomError, match=rf"6n \+ 2; expected 8, 14, 20, 26, 32, \.\.\., got {depth}"):
        CifarResNet(depth=depth)


def test_other_widths_and_no_classes_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"stem and three stages, got \(16, 0, 32, 64\)"):
        CifarResNet(widths=(16, 0, 32, 64))
    with pytest.raises(StillroomError, match="bad num_classes; expected 1 or more, got 0"):
        CifarResNet(num_classes=0)
