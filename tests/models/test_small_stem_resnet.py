"""torchvision's ResNets with a stem for 32x32 images: parameters, multiplications, sites."""

from __future__ import annotations

import pytest
import torch
from net_checks import check_export, check_gradients, shapes_of_children, size_and_work

import stillroom as kd
from stillroom import models
from stillroom.errors import StillroomError

# Blocks of the stages, convolutions in a block, and published millions of multiply-adds.
NETS = {
    "cifar_resnet18": ((2, 2, 2, 2), 2, 560),
    "cifar_resnet34": ((3, 4, 6, 3), 2, 1160),
    "cifar_resnet50": ((3, 4, 6, 3), 3, 1298),
}
PUBLISHED = {"cifar_resnet18": 11.22, "cifar_resnet34": 21.33, "cifar_resnet50": 23.71}


def parameters_by_hand(blocks: tuple[int, ...], convolutions: int, num_classes: int) -> int:
    """A convolution has k*k*in*out weights, a batch normalisation 2 per channel."""
    channels, total = 64, 9 * 3 * 64 + 2 * 64
    for width, count in zip((64, 128, 256, 512), blocks, strict=True):
        out = width if convolutions == 2 else 4 * width
        for _ in range(count):
            if convolutions == 2:
                total += 9 * channels * width + 9 * width * width + 2 * (width + width)
            else:
                total += channels * width + 9 * width * width + width * out + 2 * (width + width + out)
            total += channels * out + 2 * out if channels != out else 0
            channels = out
    return total + (channels + 1) * num_classes


@pytest.mark.parametrize("name", NETS)
def test_parameters_and_multiplications(name: str) -> None:
    blocks, convolutions, published_work = NETS[name]
    size, work = size_and_work(getattr(models, name))
    assert size == parameters_by_hand(blocks, convolutions, 100)
    assert f"{size / 1e6:.2f} million" in getattr(models, name).__doc__
    assert size / 1e6 == pytest.approx(PUBLISHED[name], abs=0.005)
    assert work == pytest.approx(published_work, rel=0.01)


def test_the_stem_keeps_the_map() -> None:
    assert list(shapes_of_children(models.cifar_resnet18()).items()) == [
        ("conv1", (64, 32, 32)),
        ("bn1", (64, 32, 32)),
        ("relu", (64, 32, 32)),
        ("maxpool", (64, 32, 32)),
        ("layer1", (64, 32, 32)),
        ("layer2", (128, 16, 16)),
        ("layer3", (256, 8, 8)),
        ("layer4", (512, 4, 4)),
        ("avgpool", (512, 1, 1)),
        ("fc", (100,)),
    ]


def test_other_image_sizes() -> None:
    shapes = shapes_of_children(models.cifar_resnet18(), 20, 41)
    assert (shapes["layer4"], shapes["fc"]) == ((512, 3, 6), (100,))


@pytest.mark.parametrize(("name", "site"), [("cifar_resnet18", "1.relu:input@1"), ("cifar_resnet50", "2.relu:input@2")])
def test_the_value_before_the_last_relu_of_a_stage_can_be_read(name: str, site: str) -> None:
    net = getattr(models, name)()
    sites = {"before": f"layer1.{site}", "after": "layer1", "vector": "fc:input"}
    with kd.record(net, **sites) as seen:
        net(torch.randn(2, 3, 16, 16))
    assert seen["before"].min() < 0
    assert torch.equal(seen["before"].relu(), seen["after"])
    assert seen["vector"].ndim == 2
    assert f'"layer1.{site}"' in getattr(models, name).__doc__


def test_the_new_stem_starts_as_the_other_convolutions_do() -> None:
    torch.manual_seed(0)
    net = models.cifar_resnet18()
    assert net.conv1.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)


def test_it_learns_and_exports() -> None:
    check_gradients(models.cifar_resnet18(3))
    check_export(models.cifar_resnet18())


@pytest.mark.parametrize("name", NETS)
def test_no_classes_are_refused(name: str) -> None:
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        getattr(models, name)(0)
