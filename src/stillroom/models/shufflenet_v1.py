"""ShuffleNet for 32x32 images.

X. Zhang et al.: ShuffleNet, An Extremely Efficient Convolutional Neural Network for Mobile Devices, CVPR 2018. The
layers are those of RepDistiller (Tian et al. 2020), which differ from the paper's: the stem is a 1x1 convolution that
keeps the map, no max-pool follows it, and there is a ReLU behind the depthwise convolution too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillroom.models.parts import ChannelShuffle, average, check_count, convolution, unit

__all__ = ["CifarShuffleNetV1", "cifar_shufflenet_v1"]

STEM = 24
GROUPS = 3


class CifarShuffleNetV1(nn.Module):
    """ShuffleNet with three groups for small images: 240, 480 and 960 channels in 4, 8 and 4 blocks.

    Its children, and so its sites, are ``stem``, ``layer1``, ``layer2``, ``layer3`` (after the last ReLU), ``pool`` (a
    vector per image) and ``fc``. The value before the last ReLU of a stage is the input of that ReLU:
    ``"layer1.3.relu3:input"``, ``"layer2.7.relu3:input"`` and ``"layer3.3.relu3:input"``.

    Parameters start as torch has them, as RepDistiller's do.

    Args:
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. The stem keeps H, each stage halves it.

    Raises:
        StillroomError: for a class count below one.
    """

    def __init__(self, *, num_classes: int = 100) -> None:
        super().__init__()
        check_count("num_classes", num_classes)
        self.stem = unit(3, STEM, 1)
        # So few channels as the stem has are not cut into groups.
        self.layer1 = _stage(STEM, 240, blocks=4, first_groups=1)
        self.layer2 = _stage(240, 480, blocks=8)
        self.layer3 = _stage(480, 960, blocks=4)
        self.pool = average()
        self.fc = nn.Linear(960, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.layer3(self.layer2(self.layer1(self.stem(images))))))


class _Block(nn.Module):
    """Adds to its input; where it halves the map, it stands beside its pooled input, ``out`` channels together."""

    def __init__(self, channels: int, out: int, *, halves: bool = False, first_groups: int = GROUPS) -> None:
        super().__init__()
        new = out - channels if halves else out
        middle = new // 4
        self.conv1 = convolution(channels, middle, 1, groups=first_groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.shuffle = ChannelShuffle(first_groups)
        self.conv2 = convolution(middle, middle, 3, stride=2 if halves else 1, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = convolution(middle, new, 1, groups=GROUPS)
        self.bn3 = nn.BatchNorm2d(new)
        self.down = nn.AvgPool2d(3, stride=2, padding=1) if halves else None
        # Not in place: so a recorder of its input needs no copy of the values before the ReLU.
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.shuffle(self.relu1(self.bn1(self.conv1(x))))
        out = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(out)))))
        return self.relu3(out + x if self.down is None else torch.cat([out, self.down(x)], 1))


def _stage(channels: int, out: int, *, blocks: int, first_groups: int = GROUPS) -> nn.Sequential:
    first = _Block(channels, out, halves=True, first_groups=first_groups)
    return nn.Sequential(first, *(_Block(out, out) for _ in range(blocks - 1)))


def cifar_shufflenet_v1(num_classes: int = 100) -> CifarShuffleNetV1:
    """ShuffleNet with three groups for 32x32 images, 0.95 million parameters."""
    return CifarShuffleNetV1(num_classes=num_classes)
