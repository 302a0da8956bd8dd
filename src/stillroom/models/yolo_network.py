"""The network of YOLOv3: features of any backbone of timm, a neck from what is coarse to what is fine, and heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError, did_you_mean

STRIDES = (32, 16, 8)
"""Of the three heads, the coarsest first."""
SLOPE = 0.1


class Prediction(NamedTuple):
    """What a head says about the A anchors of each cell, before any sigmoid or exponential: views of its raw output.

    Args:
        x: of the centre within its cell, (N, A, H, W).
        y: as x.
        w: logarithm of the width in units of the anchor's, (N, A, H, W).
        h: as w, of the height.
        objectness: (N, A, H, W).
        classes: (N, A, num_classes, H, W).
    """

    x: Tensor
    y: Tensor
    w: Tensor
    h: Tensor
    objectness: Tensor
    classes: Tensor


class Scale(NamedTuple):
    """Of a head.

    Args:
        stride: pixels of a cell.
        first: its first anchor's place among those of all heads.
        anchors: widths and heights of its own ones in pixels, (A, 2).
    """

    stride: int
    first: int
    anchors: Tensor


def scales(anchors: Tensor) -> list[Scale]:
    """Of the heads, the coarsest first, from all anchors, (3 A, 2), the finest head's first."""
    count = len(anchors) // len(STRIDES)
    firsts = range(2 * count, -1, -count)
    return [Scale(stride, first, anchors[first : first + count]) for stride, first in zip(STRIDES, firsts, strict=True)]


class Part(nn.Module):
    """Some of the channels of each anchor, as a view: a place where they can be read under a name."""

    def __init__(self, place: int | slice) -> None:
        super().__init__()
        self.place = place

    def forward(self, anchors: Tensor) -> Tensor:
        return anchors[:, :, self.place]


class Head(nn.Module):
    """A 3x3 convolution, and one that says it all: ``raw``, whose channels are [x, y, w, h, objectness, classes ...]
    for one anchor after the other. ``x`` to ``classes`` are views of it."""

    def __init__(self, channels: int, anchors: int, num_classes: int) -> None:
        super().__init__()
        self.anchors = anchors
        self.tip = unit(channels, 2 * channels, 3)
        self.raw = nn.Conv2d(2 * channels, anchors * (5 + num_classes), 1)
        self.x, self.y, self.w, self.h, self.objectness = (Part(place) for place in range(5))
        self.classes = Part(slice(5, None))

    def forward(self, route: Tensor) -> Prediction:
        values = self.raw(self.tip(route)).unflatten(1, (self.anchors, -1))
        parts = (self.x, self.y, self.w, self.h, self.objectness, self.classes)
        return Prediction(*(part(values) for part in parts))

    def expect(self, objectness: float) -> None:
        """Start from this probability of an object in every anchor."""
        with torch.no_grad():
            cast("Tensor", self.raw.bias).view(self.anchors, -1)[:, 4] = math.log(objectness / (1 - objectness))


class Level(nn.Module):
    """A level of the neck: the features of the backbone, beside what the next coarser level says of them.

    Args:
        features: channels that the backbone gives.
        channels: of the output.
        coarser: channels of the coarser level; 0 where there is none.
    """

    def __init__(self, features: int, channels: int, *, coarser: int = 0) -> None:
        super().__init__()
        half = coarser // 2
        self.up = nn.Sequential(unit(coarser, half, 1), nn.Upsample(scale_factor=2)) if coarser else None
        wide = 2 * channels
        self.route = nn.Sequential(
            unit(features + half, channels, 1),
            unit(channels, wide, 3),
            unit(wide, channels, 1),
            unit(channels, wide, 3),
            unit(wide, channels, 1),
        )

    def forward(self, features: Tensor, coarser: Tensor | None = None) -> Tensor:
        if self.up is not None:
            features = torch.cat([self.up(coarser), features], 1)
        return self.route(features)


def unit(channels: int, out: int, size: int) -> nn.Sequential:
    """Convolution without bias, batch normalisation, leaky ReLU of slope 0.1; the map stays as large."""
    convolution = nn.Conv2d(channels, out, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.LeakyReLU(SLOPE))


def he_normal_fan_in(model: nn.Module) -> None:
    """Starts all convolutions from He's normal distribution over the fan in, and their biases from zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def timm_features(name: str, *, pretrained: bool) -> Any:
    """A model of timm without what follows its last three levels, finest first.

    Raises:
        StillroomError: there is no such model, it has other strides, or its weights cannot be had.
    """
    import timm  # half a second, for a module that most users do not need

    create = cast("Callable[..., Any]", timm.create_model)
    known = timm.list_models() + timm.list_pretrained()
    if ":" not in name and name not in known:
        raise StillroomError(f"timm has no model {name!r}", where="backbone", fix=did_you_mean(name, known))
    try:
        body = create(name, pretrained=pretrained, features_only=True, out_indices=(-3, -2, -1))
    except Exception as error:  # whatever the hub's client, the network and the file system have to say
        if not pretrained and ":" not in name:
            raise
        raise StillroomError(
            f"the weights of timm's {name} cannot be had",
            where="backbone",
            got=" ".join(str(error).split()).rstrip("."),
            fix="Check the network and the name, or take pretrained=False and load a file of weights.",
        ) from error
    strides = tuple(body.feature_info.reduction())
    if strides != STRIDES[::-1]:
        raise StillroomError(f"timm's {name} has other strides", where="backbone", expected=STRIDES[::-1], got=strides)
    return body
