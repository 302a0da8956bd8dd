"""torchvision's ResNets with a stem for 32x32 images, as RepDistiller (Tian et al. 2020) has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from stillroom.models.parts import check_count, convolution, he_normal

if TYPE_CHECKING:
    from torchvision.models import ResNet

__all__ = ["cifar_resnet18", "cifar_resnet34", "cifar_resnet50"]


def cifar_resnet18(num_classes: int = 100) -> nn.Module:
    """torchvision's ResNet-18 with a stem for 32x32 images, 11.22 million parameters.

    The stem is a 3x3 convolution of stride 1, and no max-pool follows it. Its sites are torchvision's: ``relu`` (the
    stem's), ``layer1`` to ``layer4``, ``avgpool`` and ``fc``, whose input is a vector per image. The value before the
    last ReLU of a stage is the input of its second call, ``"layer1.1.relu:input@1"``; a plain hook would find it
    overwritten, as torchvision's ReLUs work in place. Convolutions start from He's normal distribution over the fan
    out, as torchvision's and RepDistiller's do.

    Args:
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. The last three stages halve the map.

    Raises:
        StillroomError: for a class count below one.
    """
    check_count("num_classes", num_classes)
    # torchvision takes seconds to import, which most users of this room need not spend.
    from torchvision.models import resnet18

    return _with_small_stem(resnet18(num_classes=num_classes))


def cifar_resnet34(num_classes: int = 100) -> nn.Module:
    """torchvision's ResNet-34 with a stem for 32x32 images, 21.33 million parameters; see :func:`cifar_resnet18`."""
    check_count("num_classes", num_classes)
    from torchvision.models import resnet34

    return _with_small_stem(resnet34(num_classes=num_classes))


def cifar_resnet50(num_classes: int = 100) -> nn.Module:
    """torchvision's ResNet-50 with a stem for 32x32 images, 23.71 million parameters; see :func:`cifar_resnet18`.

    The value before the last ReLU of a stage is the input of the third call: ``"layer1.2.relu:input@2"``.
    """
    check_count("num_classes", num_classes)
    from torchvision.models import resnet50

    return _with_small_stem(resnet50(num_classes=num_classes))


def _with_small_stem(net: ResNet) -> ResNet:
    net.conv1 = convolution(3, 64, 3)
    he_normal(net.conv1)
    net.register_module("maxpool", nn.Identity())
    return net
