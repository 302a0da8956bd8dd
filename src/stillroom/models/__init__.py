"""Models that the other libraries lack, typed makers for those that they have, and weights from files."""

from __future__ import annotations

from stillroom.models.cifar_resnet import (
    CifarResNet,
    resnet8,
    resnet8x4,
    resnet14,
    resnet20,
    resnet32,
    resnet32x4,
    resnet44,
    resnet56,
    resnet110,
)
from stillroom.models.download import fetch
from stillroom.models.small_cnn import SmallCNN
from stillroom.models.timm import timm
from stillroom.models.weights import load_weights, read_weights

__all__ = [
    "CifarResNet",
    "SmallCNN",
    "fetch",
    "load_weights",
    "read_weights",
    "resnet8",
    "resnet8x4",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
    "timm",
]
