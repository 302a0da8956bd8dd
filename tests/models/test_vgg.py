"""The VGG networks for 32x32 images have the layers, parameters and multiplications that the literature states."""

from __future__ import annotations

import pytest
import torch
from net_checks import check_export, check_gradients, parameters, shapes_of_children, size_and_work
from torch import nn

import stillroom as kd
from stillroom import models
from stillroom.errors import StillroomError
from stillroom.models import VGG

# Convolutions of the five blocks, and published millions of multiply-adds; None where no figure was found.
NETS = {
    "vgg8": ((1, 1, 1, 1, 1), 96.2),
    "vgg11": ((1, 1, 2, 2, 2), None),
    "vgg13": ((2, 2, 2, 2, 2), 284.9),
    "vgg16": ((2, 2, 3, 3, 3), None),
    "vgg19": ((2, 2, 4, 4, 4), None),
}


def parameters_by_hand(convolutions: tuple[int, ...], num_classes: int) -> int:
    """A 3x3 convolution has 9*in*out weights and out biases, a batch normalisation 2 per channel."""
    total, channels = 0, 3
    for count, width in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            total += 9 * channels * width + width + 2 * width
            channels = width
    return total + 513 * num_classes


@pytest.mark.parametrize("name", NETS)
def test_parameters_and_multiplications(name: str) -> None:
    convolutions, published_work = NETS[name]
    size, work = size_and_work(getattr(models, name))
    assert size == parameters_by_hand(convolutions, 100)
    assert f"{size / 1e6:.2f} million" in getattr(models, name).__doc__
    if published_work is not None:
        assert work == pytest.approx(published_work, abs=0.05)


def test_parameters_as_others_have_counted_theirs() -> None:
    with torch.device("meta"):
        assert parameters(models.vgg16(10)) / 1e6 == pytest.approx(14.73, abs=0.005)
        assert parameters(models.vgg19(100)) / 1e6 == pytest.approx(20.09, abs=0.005)


def test_layers_are_as_many_as_the_name_says_less_two_of_the_linear_ones() -> None:
    with torch.device("meta"):
        for name in NETS:
            layers = [m for m in getattr(models, name)().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            assert len(layers) == int(name.removeprefix("vgg")) - 2


def test_sites_are_the_children_in_order_with_the_stated_shapes() -> None:
    assert list(shapes_of_children(models.vgg13()).items()) == [
        ("block1", (64, 32, 32)),
        ("block2", (128, 16, 16)),
        ("block3", (256, 8, 8)),
        ("block4", (512, 4, 4)),
        ("block5", (512, 4, 4)),
        ("pool", (512,)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(models.vgg8(), 64, 40)
    assert (shapes["block5"], shapes["fc"]) == ((512, 8, 5), (100,))


def test_the_value_before_the_last_relu_of_a_block_is_that_of_a_batch_normalisation() -> None:
    net = models.vgg13()
    blocks = [f"block{number}" for number in range(1, 6)]
    with kd.record(net, **{b: b for b in blocks}, **{f"{b}_before": f"{b}.bn2" for b in blocks}) as seen:
        net(torch.randn(2, 3, 16, 16))
    for block in blocks:
        assert isinstance(net.get_submodule(f"{block}.bn2"), nn.BatchNorm2d)
        assert seen[f"{block}_before"].min() < 0
        assert torch.equal(seen[f"{block}_before"].relu(), seen[block])


def test_it_starts_as_the_authors_do() -> None:
    torch.manual_seed(0)
    net = models.vgg8()
    convolution = net.get_submodule("block3.conv1")
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert net.fc.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not convolution.bias.any()
    assert not net.fc.bias.any()


def test_it_learns_and_exports() -> None:
    check_gradients(models.vgg8(3))
    check_export(models.vgg8())


@pytest.mark.parametrize("convolutions", [(1, 1, 1, 1), (1, 1, 0, 1, 1)])
def test_other_blocks_are_refused(convolutions: tuple[int, ...]) -> None:
    with pytest.raises(StillroomError, match=r"bad convolutions; expected 5 numbers above 0.*, got \(1, 1, \d, 1"):
        VGG(convolutions=convolutions)


def test_no_classes_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        models.vgg8(0)
