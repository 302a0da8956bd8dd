"""The 13-layer network has the layers and the parameters of the literature."""

from __future__ import annotations

import pytest
import torch
from net_checks import check_export, check_gradients, parameters, shapes_of_children

from stillroom.errors import StillroomError
from stillroom.models import CNN13


def parameters_by_hand(num_classes: int) -> int:
    """Convolutions without bias, two parameters of batch normalisation for each channel, one linear layer."""
    layers = [(9, 3, 128), *[(9, 128, 128)] * 2, (9, 128, 256), *[(9, 256, 256)] * 2]
    layers += [(9, 256, 512), (1, 512, 256), (1, 256, 128)]
    return sum(area * before * after + 2 * after for area, before, after in layers) + 129 * num_classes


def test_parameters() -> None:
    assert parameters(CNN13()) == parameters_by_hand(10) == 3_121_802
    assert parameters(CNN13(num_classes=100)) == parameters_by_hand(100)


def test_sites() -> None:
    shapes = {"block1": (128, 16, 16), "block2": (256, 8, 8), "block3": (128, 6, 6), "pool": (128,), "fc": (10,)}
    assert shapes_of_children(CNN13()) == shapes
    assert shapes_of_children(CNN13(), 12, 14)["block3"] == (128, 1, 1)


def test_gradients_and_export() -> None:
    torch.manual_seed(0)
    check_gradients(CNN13(dropout=0.0))
    check_export(CNN13())


def test_dropout_is_that_of_training() -> None:
    torch.manual_seed(0)
    net, images = CNN13(), torch.randn(2, 3, 32, 32)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


def test_no_class() -> None:
    with pytest.raises(StillroomError, match=r"bad num_classes; expected 1 or more, got 0\."):
        CNN13(num_classes=0)
