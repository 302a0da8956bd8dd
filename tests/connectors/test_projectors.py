"""What takes a stage to a classifier: BYOT's branch and SimKD's projector."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.connectors import SelfBranch, SimKDProjector


def normed(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    return F.relu(F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias))


def separable(x: Tensor, layers: nn.Sequential) -> Tensor:
    for first, stride in ((0, 2), (4, 1)):
        depth, point, norm = layers[first : first + 3]
        x = F.conv2d(x, depth.weight, stride=stride, padding=1, groups=x.shape[1])
        x = normed(F.conv2d(x, point.weight), norm)
    return x


@pytest.mark.parametrize(("width", "steps"), [(4, 0), (8, 1), (16, 2)])
def test_branch_is_attention_then_convolutions_then_a_classifier(width: int, steps: int) -> None:
    branch, x = SelfBranch(4, width, 3).eval(), torch.randn(2, 4, 9, 8)
    assert len(branch.body) == steps
    gate = normed(separable(x, branch.attention[0]), branch.attention[1])
    assert gate.shape[2:] == (5, 4)
    y = x * torch.sigmoid(F.interpolate(gate, size=(9, 8), mode="bilinear"))
    for layers in branch.body:
        y = separable(y, layers)
    feature, logits = branch(x)
    torch.testing.assert_close(feature, y.mean((2, 3)))
    torch.testing.assert_close(logits, F.linear(feature, branch.classifier.weight, branch.classifier.bias))


@pytest.mark.parametrize(("width", "got"), [(12, 12), (2, 2), (5, 5)])
def test_branch_needs_channels_that_double(width: int, got: int) -> None:
    message = rf"^out_channels must be in_channels times a power of two; expected 4, 8, 16, \.\.\., got {got}\.$"
    with pytest.raises(StillroomError, match=message):
        SelfBranch(4, width, 3)


def test_branch_refuses_what_does_not_fit() -> None:
    with pytest.raises(StillroomError, match=r"^num_classes must be a whole number, at least 1; got 0\.$"):
        SelfBranch(4, 8, 0)
    with pytest.raises(StillroomError, match=r"^SelfBranch cannot read .* \(N, 4, H, W\), got .* \(2, 3, 8, 8\)\.$"):
        SelfBranch(4, 8, 3)(torch.zeros(2, 3, 8, 8))


def test_projector_is_a_bottleneck_of_three_convolutions() -> None:
    projector, x = SimKDProjector(3, 8, factor=4).eval(), torch.randn(2, 3, 4, 5)
    y = x
    for block, (width, side) in zip(projector.children(), ((2, 1), (2, 3), (8, 1)), strict=True):
        assert block.conv.weight.shape == (width, y.shape[1], side, side)
        y = normed(F.conv2d(y, block.conv.weight, padding=side // 2), block.norm)
    torch.testing.assert_close(projector(x), y)


def test_projector_refuses_what_does_not_fit() -> None:
    with pytest.raises(StillroomError, match=r"^factor leaves no channel in the middle; expected 1 to 8, got 9\.$"):
        SimKDProjector(3, 8, factor=9)
    with pytest.raises(StillroomError, match=r"^factor must be a whole number, at least 1; got 0\.$"):
        SimKDProjector(3, 8, factor=0)
    with pytest.raises(
        StillroomError, match=r"^SimKDProjector cannot read .* \(N, 3, H, W\), got .* \(2, 4, 8, 8\)\.$"
    ):
        SimKDProjector(3, 8)(torch.zeros(2, 4, 8, 8))
