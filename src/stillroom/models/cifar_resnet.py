"""ResNets for 32x32 images, as He et al. (2016, section 4.2) drew them and the distillation literature uses them.

Definitions follow RepDistiller (Tian et al. 2020), whose CIFAR-100 numbers most papers compare with: a shortcut with a
change of shape is a 1x1 convolution with batch normalisation, not zero padding.
"""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError

__all__ = [
    "CifarResNet",
    "resnet8",
    "resnet8x4",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
]

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)


class CifarResNet(nn.Module):
    """A ResNet of basic blocks for small images.

    Its children, and so its sites, are ``stem``, ``layer1``, ``layer2``, ``layer3`` (after the last ReLU), ``pool`` (a
    vector per image) and ``fc``. The value before the last ReLU of a stage, which some methods read, is the input of
    that ReLU: ``"layer2.2.relu2:input"`` in a ResNet-20.

    Args:
        depth: number of layers with weights, 6n + 2: three stages of n blocks with two convolutions each.
        widths: channels of the stem and of the three stages.
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. The stages keep H, halve it, halve it.

    Raises:
        StillroomError: for a depth that is not 6n + 2, or a width or class count below one.
    """

    def __init__(self, *, depth: int = 20, widths: tuple[int, int, int, int] = NARROW, num_classes: int = 100) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise StillroomError("the depth of a CifarResNet is 6n + 2", expected="8, 14, 20, 26, 32, ...", got=depth)
        if len(widths) != 4 or min(widths) < 1:
            raise StillroomError("bad widths", expected="4 numbers above 0: stem and three stages", got=widths)
        if num_classes < 1:
            raise StillroomError("bad num_classes", expected="1 or more", got=num_classes)
        blocks = (depth - 2) // 6
        stem, first, second, third = widths
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.layer1 = _stage(stem, first, blocks=blocks, stride=1)
        self.layer2 = _stage(first, second, blocks=blocks, stride=2)
        self.layer3 = _stage(second, third, blocks=blocks, stride=2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(third, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.layer3(self.layer2(self.layer1(self.stem(images))))))


class _BasicBlock(nn.Module):
    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
        # Not in place, so that a recorder of its input reads the values before the ReLU.
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(out + self.shortcut(x))


def _stage(channels: int, out: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(channels, out, stride=stride)
    return nn.Sequential(first, *(_BasicBlock(out, out, stride=1) for _ in range(blocks - 1)))


def resnet8(num_classes: int = 100) -> CifarResNet:
    """ResNet-8 for 32x32 images, 0.08 million parameters."""
    return CifarResNet(depth=8, num_classes=num_classes)


def resnet14(num_classes: int = 100) -> CifarResNet:
    """ResNet-14 for 32x32 images, 0.18 million parameters."""
    return CifarResNet(depth=14, num_classes=num_classes)


def resnet20(num_classes: int = 100) -> CifarResNet:
    """ResNet-20 for 32x32 images, 0.28 million parameters."""
    return CifarResNet(depth=20, num_classes=num_classes)


def resnet32(num_classes: int = 100) -> CifarResNet:
    """ResNet-32 for 32x32 images, 0.47 million parameters."""
    return CifarResNet(depth=32, num_classes=num_classes)


def resnet44(num_classes: int = 100) -> CifarResNet:
    """ResNet-44 for 32x32 images, 0.67 million parameters."""
    return CifarResNet(depth=44, num_classes=num_classes)


def resnet56(num_classes: int = 100) -> CifarResNet:
    """ResNet-56 for 32x32 images, 0.86 million parameters."""
    return CifarResNet(depth=56, num_classes=num_classes)


def resnet110(num_classes: int = 100) -> CifarResNet:
    """ResNet-110 for 32x32 images, 1.74 million parameters."""
    return CifarResNet(depth=110, num_classes=num_classes)


def resnet8x4(num_classes: int = 100) -> CifarResNet:
    """ResNet-8, stages four times as wide and the stem twice, for 32x32 images, 1.23 million parameters."""
    return CifarResNet(depth=8, widths=WIDE, num_classes=num_classes)


def resnet32x4(num_classes: int = 100) -> CifarResNet:
    """ResNet-32, stages four times as wide and the stem twice, for 32x32 images, 7.43 million parameters."""
    return CifarResNet(depth=32, widths=WIDE, num_classes=num_classes)
