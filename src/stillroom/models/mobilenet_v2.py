"""MobileNetV2 for 32x32 images.

M. Sandler et al.: MobileNetV2, Inverted Residuals and Linear Bottlenecks, CVPR 2018. The layers are those of
RepDistiller (Tian et al. 2020), which differ from the paper's and torchvision's: layer2 keeps the map, ReLU stands for
ReLU6, the first bottleneck has a first convolution too, widths are not rounded to multiples of 8, and there is no
dropout.
"""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.parts import average, check_count, convolution, he_normal, unit

__all__ = ["CifarMobileNetV2", "cifar_mobilenet_v2"]

WIDTHS = (0.5, 1.0)
STEM, HEAD = 32, 1280


class CifarMobileNetV2(nn.Module):
    """MobileNetV2 for small images: inverted bottlenecks, depthwise convolutions, no ReLU where the map is narrow.

    Its children, and so its sites, are ``stem``, ``layer1`` to ``layer7`` (each after its last bottleneck, which ends
    in a batch normalisation and, where shapes are kept, a sum: there is no ReLU to read before), ``head`` (to 1280
    channels), ``pool`` (a vector per image) and ``fc``. RepDistiller's features are ``stem``, ``layer2``, ``layer3``,
    ``layer5``, ``layer7`` and ``pool``.

    Convolutions start from He's normal distribution over the fan out, ``fc`` from a deviation of 0.01, its bias from
    zero, as RepDistiller's do.

    Args:
        width: of the maps, 0.5 or 1.0; ``head`` has 1280 channels in both. The literature's "MobileNetV2" is 0.5.
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. ``stem``, ``layer3``, ``layer4`` and
        ``layer6`` halve the map.

    Raises:
        StillroomError: for another width, or a class count below one.
    """

    def __init__(self, *, width: float = 0.5, num_classes: int = 100) -> None:
        super().__init__()
        if width not in WIDTHS:
            raise StillroomError("unknown width of a MobileNetV2", expected="0.5 or 1.0", got=width)
        check_count("num_classes", num_classes)
        stem, first, second, third, fourth, fifth, sixth, last = (
            int(channels * width) for channels in (STEM, 16, 24, 32, 64, 96, 160, 320)
        )
        self.stem = unit(3, stem, 3, stride=2)
        self.layer1 = _stage(stem, first, blocks=1, stride=1, expansion=1)
        self.layer2 = _stage(first, second, blocks=2, stride=1)
        self.layer3 = _stage(second, third, blocks=3, stride=2)
        self.layer4 = _stage(third, fourth, blocks=4, stride=2)
        self.layer5 = _stage(fourth, fifth, blocks=3, stride=1)
        self.layer6 = _stage(fifth, sixth, blocks=3, stride=2)
        self.layer7 = _stage(sixth, last, blocks=1, stride=1)
        self.head = unit(last, HEAD, 1)
        self.pool = average()
        self.fc = nn.Linear(HEAD, num_classes)
        he_normal(self)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer3(self.layer2(self.layer1(self.stem(images))))
        maps = self.layer7(self.layer6(self.layer5(self.layer4(maps))))
        return self.fc(self.pool(self.head(maps)))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, out: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.conv1 = convolution(channels, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide)
        self.relu1 = nn.ReLU()
        self.conv2 = convolution(wide, wide, 3, stride=stride, groups=wide)
        self.bn2 = nn.BatchNorm2d(wide)
        self.relu2 = nn.ReLU()
        self.conv3 = convolution(wide, out, 1)
        self.bn3 = nn.BatchNorm2d(out)
        self.has_shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        out = self.bn3(self.conv3(out))
        return x + out if self.has_shortcut else out


def _stage(channels: int, out: int, *, blocks: int, stride: int, expansion: int = 6) -> nn.Sequential:
    first = _Bottleneck(channels, out, stride=stride, expansion=expansion)
    return nn.Sequential(first, *(_Bottleneck(out, out, stride=1, expansion=expansion) for _ in range(blocks - 1)))


def cifar_mobilenet_v2(num_classes: int = 100, *, width: float = 0.5) -> CifarMobileNetV2:
    """MobileNetV2 for 32x32 images, 0.81 million parameters; 2.35 million at width 1.0."""
    return CifarMobileNetV2(width=width, num_classes=num_classes)
