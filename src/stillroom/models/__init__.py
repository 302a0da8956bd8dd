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
from stillroom.models.cnn13 import CNN13
from stillroom.models.download import fetch
from stillroom.models.generators import DAFLGenerator, ZSKTGenerator
from stillroom.models.hidden_patches import HiddenPatches
from stillroom.models.mobilenet_v2 import CifarMobileNetV2, cifar_mobilenet_v2
from stillroom.models.shufflenet_v1 import CifarShuffleNetV1, cifar_shufflenet_v1
from stillroom.models.shufflenet_v2 import CifarShuffleNetV2, cifar_shufflenet_v2
from stillroom.models.simkd_student import SimKDStudent
from stillroom.models.small_cnn import SmallCNN
from stillroom.models.small_stem_resnet import cifar_resnet18, cifar_resnet34, cifar_resnet50
from stillroom.models.timm import timm
from stillroom.models.vgg import VGG, vgg8, vgg11, vgg13, vgg16, vgg19
from stillroom.models.weights import load_weights, read_weights
from stillroom.models.wide_resnet import (
    WideResNet,
    wrn_16_1,
    wrn_16_2,
    wrn_16_4,
    wrn_28_4,
    wrn_28_10,
    wrn_40_1,
    wrn_40_2,
)

if TYPE_CHECKING:
    from stillroom.models.retinanet import RetinaNet
    from stillroom.models.yolo_export import YOLOv3Boxes
    from stillroom.models.yolov3 import YOLOv3

__all__ = [
    "CNN13",
    "VGG",
    "CifarMobileNetV2",
    "CifarResNet",
    "CifarShuffleNetV1",
    "CifarShuffleNetV2",
    "DAFLGenerator",
    "HiddenPatches",
    "RetinaNet",
    "SimKDStudent",
    "SmallCNN",
    "WideResNet",
    "YOLOv3",
    "YOLOv3Boxes",
    "ZSKTGenerator",
    "cifar_mobilenet_v2",
    "cifar_resnet18",
    "cifar_resnet34",
    "cifar_resnet50",
    "cifar_shufflenet_v1",
    "cifar_shufflenet_v2",
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
    "vgg8",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "wrn_16_1",
    "wrn_16_2",
    "wrn_16_4",
    "wrn_28_4",
    "wrn_28_10",
    "wrn_40_1",
    "wrn_40_2",
]


def __getattr__(name: str) -> Any:
    # Detectors import torchvision, which takes seconds that most users of this room need not spend.
    if name == "RetinaNet":
        from stillroom.models.retinanet import RetinaNet

        return RetinaNet
    if name == "YOLOv3":
        from stillroom.models.yolov3 import YOLOv3

        return YOLOv3
    if name == "YOLOv3Boxes":
        from stillroom.models.yolo_export import YOLOv3Boxes

        return YOLOv3Boxes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
