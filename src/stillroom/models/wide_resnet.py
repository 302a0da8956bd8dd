"""Wide ResNets for 32x32 images.

S. Zagoruyko, N. Komodakis: Wide Residual Networks, BMVC 2016. The layers are those of RepDistiller (Tian et al. 2020):
a block whose shape changes takes its shortcut, a bare 1x1 convolution, after its first ReLU; there is no dropout.
"""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.parts import average, check_count, convolution, he_normal

__all__ = ["WideResNet", "wrn_16_1", "wrn_16_2", "wrn_16_4", "wrn_28_4", "wrn_28_10", "wrn_40_1", "wrn_40_2"]


class WideResNet(nn.Module):
    """A ResNet of pre-activation blocks, few and wide, for small images.

    Its children, and so its sites, are ``stem`` (a convolution alone), ``layer1``, ``layer2``, ``layer3`` (sums, which
    no batch normalisation or ReLU has seen yet), ``bn``, ``relu``, ``pool`` (a vector per image) and ``fc``. A stage
    ends in the batch normalisation that follows it, whose output is the value before its ReLU: OFD reads
    ``layer2.0.bn1``, ``layer3.0.bn1`` and ``bn``. Each of these runs once in a forward pass.

    Convolutions start from He's normal distribution over the fan out, the bias of ``fc`` from zero, as the authors' do.

    Args:
        depth: 6n + 4, for three stages of n blocks with two convolutions each; the authors count four more layers.
        widen_factor: k in the channels 16k, 32k and 64k of the stages; the stem has 16.
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. The stages keep H, halve it, halve it.

    Raises:
        StillroomError: for a depth that is not 6n + 4, or a widen factor or class count below one.
    """

    def __init__(self, *, depth: int = 16, widen_factor: int = 2, num_classes: int = 100) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise StillroomError("the depth of a WideResNet is 6n + 4", expected="10, 16, 22, 28, ...", got=depth)
        check_count("widen_factor", widen_factor)
        check_count("num_classes", num_classes)
        blocks = (depth - 4) // 6
        first, second, third = 16 * widen_factor, 32 * widen_factor, 64 * widen_factor
        self.stem = convolution(3, 16, 3)
        self.layer1 = _stage(16, first, blocks=blocks, stride=1)
        self.layer2 = _stage(first, second, blocks=blocks, stride=2)
        self.layer3 = _stage(second, third, blocks=blocks, stride=2)
        self.bn = nn.BatchNorm2d(third)
        self.relu = nn.ReLU()
        self.pool = average()
        self.fc = nn.Linear(third, num_classes)
        he_normal(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return self.fc(self.pool(self.relu(self.bn(maps))))


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        # Not in place: so a recorder of bn1 needs no copy of the values before the ReLU.
        self.relu1 = nn.ReLU()
        self.conv1 = convolution(channels, out, 3, stride=stride)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu2 = nn.ReLU()
        self.conv2 = convolution(out, out, 3)
        self.shortcut = None if channels == out else convolution(channels, out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        return out + (x if self.shortcut is None else self.shortcut(active))


def _stage(channels: int, out: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = _Block(channels, out, stride=stride)
    return nn.Sequential(first, *(_Block(out, out, stride=1) for _ in range(blocks - 1)))


def wrn_16_1(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 16-1 for 32x32 images, 0.18 million parameters."""
    return WideResNet(depth=16, widen_factor=1, num_classes=num_classes)


def wrn_16_2(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 16-2 for 32x32 images, 0.70 million parameters."""
    return WideResNet(depth=16, widen_factor=2, num_classes=num_classes)


def wrn_16_4(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 16-4 for 32x32 images, 2.77 million parameters."""
    return WideResNet(depth=16, widen_factor=4, num_classes=num_classes)


def wrn_28_4(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 28-4 for 32x32 images, 5.87 million parameters."""
    return WideResNet(depth=28, widen_factor=4, num_classes=num_classes)


def wrn_28_10(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 28-10 for 32x32 images, 36.54 million parameters."""
    return WideResNet(depth=28, widen_factor=10, num_classes=num_classes)


def wrn_40_1(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 40-1 for 32x32 images, 0.57 million parameters."""
    return WideResNet(depth=40, widen_factor=1, num_classes=num_classes)


def wrn_40_2(num_classes: int = 100) -> WideResNet:
    """Wide ResNet 40-2 for 32x32 images, 2.26 million parameters."""
    return WideResNet(depth=40, widen_factor=2, num_classes=num_classes)
