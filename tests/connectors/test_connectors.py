"""The plain connectors: what they compute, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillroom import StillroomError, Term
from stillroom.connectors import Conv1x1, ConvNormAct, Embed, Identity, Item, Linear, SelfBranch, Standardize
from stillroom.losses import L2


def test_conv1x1_mixes_channels_pixel_by_pixel() -> None:
    connector, x = Conv1x1(3, 5), torch.randn(2, 3, 4, 6)
    expected = torch.einsum("oi,nihw->nohw", connector.conv.weight[:, :, 0, 0], x) + connector.conv.bias.view(5, 1, 1)
    torch.testing.assert_close(connector(x), expected)


@pytest.mark.parametrize("shape", [(2, 3), (2, 7, 3)])
def test_linear_maps_the_last_axis(shape: tuple[int, ...]) -> None:
    connector, x = Linear(3, 5), torch.randn(shape)
    torch.testing.assert_close(connector(x), F.linear(x, connector.linear.weight, connector.linear.bias))


def test_identity_returns_its_argument() -> None:
    x = torch.randn(2, 3)
    assert Identity()(x) is x
    assert list(Identity().parameters()) == []


def test_item_picks_one_of_several_values_also_at_the_end_of_a_chain() -> None:
    x, y = torch.randn(2, 3), torch.randn(2, 5)
    named = SimpleNamespace(logits=y)
    assert Item(0)((x, y)) is x and Item(-1)([x, y]) is y
    assert Item("logits")({"logits": y}) is y and Item("logits")(named) is y and Item(1)({0: x, 1: y}) is y
    branch = SelfBranch(3, 12, num_classes=5)
    term = Term(L2(), connector=[branch, Item(1)])
    assert term.connector is not None and term.connector(torch.randn(2, 3, 9, 7)).shape == (2, 5)


@pytest.mark.parametrize(
    ("index", "values", "message"),
    [
        (2, (1, 2), "there is no item 2; expected several values, got a tuple."),
        ("logits", {"logit": 1}, "there is no item 'logits'; expected several values, got a dict."),
        ("logits", (1, 2), "there is no item 'logits'; expected several values, got a tuple."),
        (0, torch.ones(2), "there is no item 0; expected several values, got one tensor."),
    ],
)
def test_an_item_that_is_not_there(index: int | str, values: object, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Item(index)(values)


# Convolution, norm, activation


def test_conv_norm_act_is_linear_with_a_batch_norm_and_without_bias() -> None:
    connector, x = ConvNormAct(3, 5), torch.randn(4, 3, 4, 6)
    assert connector.conv.bias is None
    y = torch.einsum("oi,nihw->nohw", connector.conv.weight[:, :, 0, 0], x)
    mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(connector(x), (y - mean) / (variance + 1e-5).sqrt())
    assert (connector(x) < 0).any()


def test_conv_norm_act_has_a_bias_only_without_a_norm() -> None:
    connector, x = ConvNormAct(3, 5, norm=None, activation="relu"), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(connector(x), F.relu(F.conv2d(x, connector.conv.weight, connector.conv.bias)))
    assert sum(parameter.numel() for parameter in connector.parameters()) == 3 * 5 + 5


@pytest.mark.parametrize(
    ("name", "function"), [("relu", F.relu), ("leaky_relu", F.leaky_relu), ("gelu", F.gelu), ("silu", F.silu)]
)
def test_conv_norm_act_ends_with_the_activation(name: str, function: Callable[..., torch.Tensor]) -> None:
    connector, x = ConvNormAct(3, 5, activation=name), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(connector(x), function(connector.norm(connector.conv(x))))


@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(1, 1, 8), (3, 1, 8), (5, 1, 8), (2, 2, 4), (3, 2, 4), (4, 2, 4)]
)
def test_conv_norm_act_pads_so_that_the_stride_alone_sets_the_size(kernel: int, stride: int, side: int) -> None:
    assert ConvNormAct(3, 5, kernel_size=kernel, stride=stride)(torch.randn(2, 3, 8, 8)).shape == (2, 5, side, side)


# Standardize


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (8, 3)])
def test_standardize_is_a_batch_norm_without_parameters_and_memory(shape: tuple[int, ...]) -> None:
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    norm, x = kind(3, eps=1e-3, affine=False, track_running_stats=False), torch.randn(shape).double() * 3 + 2
    for training in (True, False):
        torch.testing.assert_close(Standardize(eps=1e-3).train(training)(x), norm(x))
    assert Standardize().state_dict() == {}


def test_standardize_of_one_value_is_zero_and_has_a_gradient() -> None:
    x = torch.tensor([[3.0, -2.0]], requires_grad=True)
    y = Standardize()(x)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [[0.0, 0.0]]


def test_standardize_keeps_what_half_precision_would_lose() -> None:
    x = (torch.randn(64, 3) * 300).half()
    torch.testing.assert_close(Standardize()(x).double(), Standardize()(x.double()), rtol=2e-3, atol=1e-4)


# Embed


def test_embed_is_a_unit_vector_of_the_flattened_feature() -> None:
    connector, x = Embed(24, 5).double(), torch.randn(3, 4, 3, 2).double()
    for row, sample in zip(connector(x), x, strict=True):
        vector = connector.linear.weight @ sample.reshape(-1) + connector.linear.bias
        torch.testing.assert_close(row, vector / vector.square().sum().sqrt())


def test_embed_pools_maps_of_any_size() -> None:
    connector, x = Embed(4, 5, pool=True), torch.randn(3, 4, 3, 2)
    torch.testing.assert_close(connector(x), connector(x.mean((2, 3))))
    torch.testing.assert_close(connector(x), connector(F.interpolate(x, scale_factor=2)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_embed_of_nothing_is_zero(dtype: torch.dtype) -> None:
    connector = Embed(3, 4).to(dtype)
    nn.init.zeros_(connector.linear.bias)
    x = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    y = connector(x)
    assert y.tolist() == [[0.0] * 4] * 2


# What they refuse


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv1x1(0, 3), "in_channels must be a whole number, at least 1; got 0."),
        (lambda: Conv1x1(3, 2.5), "out_channels must be a whole number, at least 1; got 2.5."),
        (lambda: Linear(3, -1), "out_features must be a whole number, at least 1; got -1."),
        (lambda: ConvNormAct(3, 5, kernel_size=0), "kernel_size must be a whole number, at least 1; got 0."),
        (lambda: ConvNormAct(3, 5, stride=0), "stride must be a whole number, at least 1; got 0."),
        (lambda: ConvNormAct(3, 5, padding=-1), "padding must be a whole number, at least 0; got -1."),
        (lambda: ConvNormAct(3, 5, norm="bach"), "unknown norm; got 'bach'. Did you mean 'batch'?"),
        (lambda: ConvNormAct(3, 5, activation="rellu"), "unknown activation; got 'rellu'. Did you mean 'relu'"),
        (lambda: Standardize(eps=0.0), "eps must be a finite number above 0; got 0.0."),
        (lambda: Embed(3, 0), "dim must be a whole number, at least 1; got 0."),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize(
    ("connector", "x", "message"),
    [
        (
            Conv1x1(3, 5),
            (2, 4, 5, 6),
            "Conv1x1 cannot read this feature; expected a map (N, 3, H, W), got a tensor of ",
        ),
        (Conv1x1(3, 5), (3, 5, 6), "Conv1x1 cannot read this feature; expected a map (N, 3, H, W), got a tensor of "),
        (
            ConvNormAct(3, 5),
            (2, 3),
            "ConvNormAct cannot read this feature; expected a map (N, 3, H, W), got a tensor of ",
        ),
        (
            Linear(3, 5),
            (2, 3, 4),
            "Linear cannot read this feature; expected vectors (N, 3) or tokens (N, L, 3), got a tensor of ",
        ),
        (
            Linear(3, 5),
            (3,),
            "Linear cannot read this feature; expected vectors (N, 3) or tokens (N, L, 3), got a tensor ",
        ),
        (
            Standardize(),
            (2, 3, 4),
            "Standardize cannot read this feature; expected a map (N, C, H, W) or vectors (N, D), got a tensor of ",
        ),
        (
            Embed(6),
            (2, 3, 4),
            "Embed cannot read this feature; expected 6 numbers per sample, batch first, got a tensor of ",
        ),
        (
            Embed(6, pool=True),
            (2, 3, 4),
            "Embed cannot read this feature; expected 6 channels, batch first, got a tensor ",
        ),
        (
            Embed(6),
            (6,),
            "Embed cannot read this feature; expected 6 numbers per sample, batch first, got a tensor of ",
        ),
    ],
)
def test_features_of_another_shape_are_refused(connector: nn.Module, x: tuple[int, ...], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}.*{re.escape(str(x))}"):
        connector(torch.zeros(x))


def test_what_is_no_tensor_is_refused() -> None:
    message = "Conv1x1 cannot read this feature; expected a map (N, 3, H, W), got a tuple of 2."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Conv1x1(3, 5)((torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)))
