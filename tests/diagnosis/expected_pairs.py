"""The pairs that a reader of two models would choose, written down before there was anything to find them.

Of a convolutional network that is the last block before each halving of the map, of a transformer of one resolution the
blocks at a quarter, a half, three quarters and the whole of its depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torchvision
from torch import nn

NO_CONNECTOR = "none"


@dataclass(frozen=True)
class Expected:
    """One student and one teacher.

    Attributes:
        student, teacher: make them.
        size: side of the images.
        pairs: reason, site of the student, site of the teacher.
        connectors: what adapts the student, from the first pair to the last.
        flagged: whether signed values meet non-negative ones, in every pair or in none.
        frozen: what adapts the teacher.
    """

    student: Callable[..., nn.Module]
    teacher: Callable[..., nn.Module]
    size: int
    pairs: list[tuple[str, str, str]]
    connectors: list[str]
    flagged: bool
    frozen: str = ""


def _tv(name: str) -> Callable[..., nn.Module]:
    return partial(getattr(torchvision.models, name), num_classes=10)


def _timm(name: str) -> Callable[..., nn.Module]:
    make: Any = timm.create_model
    return partial(make, name, num_classes=10)


LAYERS = ["layer1", "layer2", "layer3", "layer4"]
QUARTERS = ["blocks.2", "blocks.5", "blocks.8", "blocks.11"]


def _by_stride(student: list[str], teacher: list[str], first: int = 4) -> list[tuple[str, str, str]]:
    strides = [f"stride {first * 2**step}" for step in range(len(student))]
    return list(zip(strides, student, teacher, strict=True))


def _by_depth(student: list[str], teacher: list[str]) -> list[tuple[str, str, str]]:
    return [(f"by depth, {n}/4", *sites) for n, *sites in zip((1, 2, 3, 4), student, teacher, strict=True)]


EXPECTED = {
    "resnet34 -> resnet18": Expected(
        student=_tv("resnet18"),
        teacher=_tv("resnet34"),
        size=64,
        pairs=_by_stride(LAYERS, LAYERS),
        connectors=[NO_CONNECTOR] * 4,
        flagged=False,
    ),
    "resnet50 -> mobilenet_v2": Expected(
        student=_tv("mobilenet_v2"),
        teacher=_tv("resnet50"),
        size=64,
        pairs=_by_stride(["features.3", "features.6", "features.13", "features.17"], LAYERS),
        connectors=["Conv1x1(24, 256)", "Conv1x1(32, 512)", "Conv1x1(96, 1024)", "Conv1x1(320, 2048)"],
        flagged=True,
    ),
    "timm resnet50 -> mobilenetv1_100": Expected(
        student=_timm("mobilenetv1_100"),
        teacher=_timm("resnet50"),
        size=64,
        pairs=_by_stride(["blocks.1", "blocks.2", "blocks.3", "blocks.4"], LAYERS),
        connectors=["Conv1x1(128, 256)", "Conv1x1(256, 512)", "Conv1x1(512, 1024)", "Conv1x1(1024, 2048)"],
        flagged=False,
    ),
    "vgg13_bn -> vgg11_bn": Expected(
        student=_tv("vgg11_bn"),
        teacher=_tv("vgg13_bn"),
        size=64,
        pairs=_by_stride(
            ["features.6", "features.13", "features.20", "features.27"],
            ["features.12", "features.19", "features.26", "features.33"],
            first=2,
        ),
        connectors=[NO_CONNECTOR] * 4,
        flagged=False,
    ),
    "convnext_tiny -> resnet18": Expected(
        student=_tv("resnet18"),
        teacher=_tv("convnext_tiny"),
        size=64,
        pairs=_by_stride(LAYERS, ["features.1", "features.3", "features.5", "features.7"]),
        connectors=["Conv1x1(64, 96)", "Conv1x1(128, 192)", "Conv1x1(256, 384)", "Conv1x1(512, 768)"],
        flagged=True,
    ),
    "vit_small -> vit_tiny": Expected(
        student=_timm("vit_tiny_patch16_224"),
        teacher=_timm("vit_small_patch16_224"),
        size=224,
        pairs=_by_depth(QUARTERS, QUARTERS),
        connectors=["Linear(192, 384)"] * 4,
        flagged=False,
    ),
    "deit_tiny -> resnet18": Expected(
        student=_tv("resnet18"),
        teacher=_timm("deit_tiny_patch16_224"),
        size=224,
        pairs=_by_depth(LAYERS, QUARTERS),
        connectors=[
            "ConvNormAct(64, 192, kernel_size=4, stride=4, padding=0, norm=None) + MapToTokens(prefix=1)",
            "ConvNormAct(128, 192, kernel_size=3, stride=2, padding=1, norm=None) + MapToTokens(prefix=1)",
            "Conv1x1(256, 192) + MapToTokens(prefix=1)",
            "Conv1x1(512, 192) + Resize(scale=2) + MapToTokens(prefix=1)",
        ],
        flagged=True,
    ),
    "resnet18 -> deit_tiny": Expected(
        student=_timm("deit_tiny_patch16_224"),
        teacher=_tv("resnet18"),
        size=224,
        pairs=_by_depth(QUARTERS, LAYERS),
        connectors=[
            "TokensToMap(prefix=1) + Conv1x1(192, 64) + Resize(scale=4)",
            "TokensToMap(prefix=1) + Conv1x1(192, 128) + Resize(scale=2)",
            "TokensToMap(prefix=1) + Conv1x1(192, 256)",
            "TokensToMap(prefix=1) + ConvNormAct(192, 512, kernel_size=3, stride=2, padding=1, norm=None)",
        ],
        flagged=True,
    ),
    "swin_t -> efficientnet_b0": Expected(
        student=_tv("efficientnet_b0"),
        teacher=_tv("swin_t"),
        size=224,
        pairs=_by_stride(
            ["features.2", "features.3", "features.5", "features.7"],
            ["features.1", "features.3", "features.5", "features.7"],
        ),
        connectors=["Conv1x1(24, 96)", "Conv1x1(40, 192)", "Conv1x1(112, 384)", "Conv1x1(320, 768)"],
        flagged=False,
        frozen="Flatten(start_dim=1, end_dim=2) + TokensToMap(prefix=0)",
    ),
}
