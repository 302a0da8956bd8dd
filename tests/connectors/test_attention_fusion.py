"""ReviewKD's fusion against loops over single pixels, in float64."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from stillroom import StillroomError
from stillroom.connectors import AttentionFusion


def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """One sample (C, H, W); zeros around it keep the size."""
    out, _, side, _ = weight.shape
    _, h, w = x.shape
    y, r = torch.zeros(out, h, w, dtype=x.dtype), side // 2
    for o, i, j in torch.cartesian_prod(torch.arange(out), torch.arange(h), torch.arange(w)).tolist():
        for di, dj in [(a, b) for a in range(side) for b in range(side)]:
            ii, jj = i + di - r, j + dj - r
            if 0 <= ii < h and 0 <= jj < w:
                y[o, i, j] += (weight[o, :, di, dj] * x[:, ii, jj]).sum()
        if bias is not None:
            y[o, i, j] += bias[o]
    return y


def norm(x: Tensor, layer: Any) -> Tensor:
    """With the running statistics."""
    y = torch.empty_like(x)
    for c in range(len(x)):
        scale = layer.weight[c] / math.sqrt(float(layer.running_var[c]) + layer.eps)
        y[c] = (x[c] - layer.running_mean[c]) * scale + layer.bias[c]
    return y


def nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    rows = [i * x.shape[1] // size[0] for i in range(size[0])]
    columns = [j * x.shape[2] // size[1] for j in range(size[1])]
    return x[:, rows][:, :, columns]


def reference(fusion: AttentionFusion, sample: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
    results: list[Tensor] = []
    y: Tensor | None = None
    for stage, x, size in reversed(list(zip(fusion.stages, sample, sizes, strict=True))):
        f = norm(conv(x, stage.reduce.conv.weight), stage.reduce.norm)
        if y is not None:
            y = nearest(y, tuple(x.shape[1:]))
            z = conv(torch.cat((f, y)), stage.attention.weight, stage.attention.bias)
            a, b = 1 / (1 + torch.exp(-z))
            f = f * a + y * b
        y = nearest(f, size)
        results.insert(0, norm(conv(y, stage.expand.conv.weight), stage.expand.norm))
    return results


def test_equals_the_reference() -> None:
    torch.manual_seed(0)
    sizes = [(6, 4), (4, 2), (1, 1)]
    fusion = AttentionFusion([2, 3, 4], [3, 2, 5], sizes=sizes, mid_channels=3).double()
    features = (torch.randn(2, 2, 6, 4).double(), torch.randn(2, 3, 3, 2).double(), torch.randn(2, 4).double())
    with torch.no_grad():
        for tensor in [*fusion.parameters(), *(b for b in fusion.buffers() if b.is_floating_point())]:
            tensor.copy_(torch.rand_like(tensor) + 0.2)
        got = fusion.eval()(features)
        for n in range(2):
            sample = [features[0][n], features[1][n], features[2][n, :, None, None]]
            expected = reference(fusion, sample, sizes)
            torch.testing.assert_close([part[n] for part in got], expected)


def test_gradient_flows_from_the_shallow_output_to_the_deep_stage_and_not_back() -> None:
    fusion = AttentionFusion([2, 3, 4], [2, 3, 4])
    features = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((2, 8), (3, 4), (4, 2))]
    outputs = fusion(features)
    to_all = torch.autograd.grad(outputs[0].square().sum(), features, retain_graph=True)
    assert all(bool(gradient.any()) for gradient in to_all)
    of_deepest = torch.autograd.grad(outputs[2].square().sum(), features, allow_unused=True)
    assert [gradient is not None for gradient in of_deepest] == [False, False, True]


def test_the_middle_is_as_wide_as_the_deepest_stage_but_not_wider_than_512() -> None:
    widths = [AttentionFusion([2, deepest], [3, 3]).stages[0].reduce.conv.out_channels for deepest in (4, 600)]
    assert widths == [4, 512]


def test_nothing_is_learned_for_a_fusion_at_the_deepest_stage() -> None:
    names = [name for name, _ in AttentionFusion([2, 3], [2, 3]).named_parameters() if "attention" in name]
    assert names == ["stages.0.attention.weight", "stages.0.attention.bias"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"in_channels": [2, 3], "out_channels": [2]},
            "in_channels, out_channels and sizes must have one entry for each stage; got [2, 1, 2] entries.",
        ),
        (
            {"in_channels": [2, 3], "out_channels": [2, 3], "sizes": [8]},
            "in_channels, out_channels and sizes must have one entry for each stage; got [2, 2, 1] entries.",
        ),
        (
            {"in_channels": [], "out_channels": []},
            "in_channels, out_channels and sizes must have one entry for each stage; got [0, 0, 0] entries.",
        ),
        ({"in_channels": [0, 3], "out_channels": [2, 3]}, "in_channels[0] must be a whole number, at least 1; got 0."),
        ({"in_channels": [2, 3], "out_channels": [2, 0]}, "out_channels[1] must be a whole number, at least 1; got 0."),
        (
            {"in_channels": [2], "out_channels": [2], "mid_channels": 0},
            "mid_channels must be a whole number, at least 1; got 0.",
        ),
        (
            {"in_channels": [2], "out_channels": [2], "sizes": [-1]},
            "sizes[0] must be a whole number, at least 1; got -1.",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        AttentionFusion(**arguments)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            (torch.zeros(2, 2, 4, 4),),
            "AttentionFusion cannot read this feature; expected a tuple of 2, shallow to deep, got",
        ),
        (
            torch.zeros(2, 2, 4, 4),
            "AttentionFusion cannot read this feature; expected a tuple of 2, shallow to deep, got",
        ),
        (
            (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3)),
            "AttentionFusion cannot read this feature; expected a map (N, 2, H, W) as stage 0, got a tensor of shape "
            "(2, 3, 4, 4).",
        ),
    ],
)
def test_wrong_features_are_refused(features: Any, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        AttentionFusion([2, 3], [2, 3])(features)
