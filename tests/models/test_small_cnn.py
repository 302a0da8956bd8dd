"""The small network takes small images of several sizes and learns in a second."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.models import SmallCNN


@pytest.mark.parametrize("size", [8, 28])
def test_shapes_of_the_sites(size: int) -> None:
    net = SmallCNN(num_classes=5, in_channels=2, width=6)
    value, shapes = torch.randn(3, 2, size, size), []
    for child in net.children():
        value = child(value)
        shapes.append(tuple(value.shape[1:]))
    half, quarter = size // 2, size // 4
    assert shapes == [(6, size, size), (6, half, half), (12, quarter, quarter), (12,), (5,)]
    assert [name for name, _ in net.named_children()] == ["stem", "layer1", "layer2", "pool", "fc"]


def test_forward_is_its_children_in_order() -> None:
    net, images = SmallCNN(width=4).eval(), torch.randn(2, 1, 8, 8)
    assert torch.equal(net(images), nn.Sequential(*net.children())(images))


def test_it_learns_to_tell_bright_corners() -> None:
    torch.manual_seed(0)
    net, images, labels = SmallCNN(num_classes=2, width=4), torch.rand(64, 1, 8, 8) / 2, torch.arange(64) % 2
    images[labels == 1, :, :4, :4] += 0.5
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    assert (net.eval()(images).argmax(1) == labels).float().mean() > 0.95


@pytest.mark.parametrize("name", ["num_classes", "in_channels", "width"])
def test_arguments_below_one_are_refused(name: str) -> None:
    with pytest.raises(StillroomError, match=f"bad {name}; expected 1 or more, got 0"):
        SmallCNN(**{name: 0})
