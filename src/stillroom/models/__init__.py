"""Models that the other libraries lack, typed makers for those that they have, and weights from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from stillroom.models.hidden_patches import HiddenPatches
from stillroom.models.small_cnn import SmallCNN
from stillroom.models.timm import timm
from stillroom.models.weights import load_weights, read_weights

if TYPE_CHECKING:
    from stillroom.models.retinanet import RetinaNet

__all__ = [
    "CifarResNet",
    "HiddenPatches",
    "RetinaNet",
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


def __getattr__(name: str) -> Any:
    if name == "RetinaNet":  # it imports torchvision, which takes seconds that most users of this room need not spend
        from stillroom.models.retinanet import RetinaNet

        return RetinaNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
