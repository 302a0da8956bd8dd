"""ShuffleNetV2 for 32x32 images.

N. Ma et al.: ShuffleNet V2, Practical Guidelines for Efficient CNN Architecture Design, ECCV 2018. The layers are those
of RepDistiller (Tian et al. 2020), which differ from the paper's: the stem is a 1x1 convolution that keeps the map, and
no max-pool follows it. Widths are the paper's; RepDistiller's file has 224 for 244 in the first stage of width 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.parts import ChannelShuffle, average, check_count, convolution, unit

__all__ = ["CifarShuffleNetV2", "cifar_shufflenet_v2"]

STEM = 24
# Channels of the three stages and of the head.
WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


class CifarShuffleNetV2(nn.Module):
    """ShuffleNetV2 for small images: stages of one block that halves the map and 3, 7 and 3 that keep half of it.

    Its children, and so its sites, are ``stem``, ``layer1``, ``layer2``, ``layer3`` (after the last ReLU), ``head``,
    ``pool`` (a vector per image) and ``fc``. The value before the last ReLU of a stage is the input of that ReLU:
    ``"layer1.3.relu:input"``, ``"layer2.7.relu:input"`` and ``"layer3.3.relu:input"``. In it, the half of the channels
    that the block keeps has been through a ReLU before. The shuffle comes before this ReLU, so that both sides of it
    have their channels in one order; the network's values are the same either way.

    Parameters start as torch has them, as RepDistiller's do.

    Args:
        width: 0.5, 1.0, 1.5 or 2.0; 116, 232, 464 and, in the head, 1024 channels at 1.0.
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32; output (N, num_classes), logits. The stem keeps H, each stage halves it.

    Raises:
        StillroomError: for another width, or a class count below one.
    """

    def __init__(self, *, width: float = 1.0, num_classes: int = 100) -> None:
        super().__init__()
        if width not in WIDTHS:
            expected = ", ".join(str(known) for known in WIDTHS)
            raise StillroomError("unknown width of a ShuffleNetV2", expected=f"one of {expected}", got=width)
        check_count("num_classes", num_classes)
        first, second, third, head = WIDTHS[width]
        self.stem = unit(3, STEM, 1)
        self.layer1 = _stage(STEM, first, blocks=3)
        self.layer2 = _stage(first, second, blocks=7)
        self.layer3 = _stage(second, third, blocks=3)
        self.head = unit(third, head, 1)
        self.pool = average()
        self.fc = nn.Linear(head, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return self.fc(self.pool(self.head(maps)))


class _DownBlock(nn.Module):
    """Two branches with half of the output's channels each, from the whole input."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.left = nn.Sequential(
            convolution(channels, channels, 3, stride=2, groups=channels),
            nn.BatchNorm2d(channels),
            convolution(channels, out // 2, 1),
            nn.BatchNorm2d(out // 2),
        )
        self.right = _branch(channels, out // 2, stride=2)
        self.shuffle = ChannelShuffle(2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shuffle(torch.cat([self.left(x), self.right(x)], 1)))


class _Block(nn.Module):
    """Keeps the first half of its channels, and works on the second."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.right = _branch(channels // 2, channels // 2, stride=1)
        self.shuffle = ChannelShuffle(2)
        # Not in place: so a recorder of its input needs no copy of the values before the ReLU. The kept half, an output
        # of such a ReLU itself, does not change in it.
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        kept, worked = x.chunk(2, 1)
        return self.relu(self.shuffle(torch.cat([kept, self.right(worked)], 1)))


def _branch(channels: int, out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *unit(channels, out, 1),
        convolution(out, out, 3, stride=stride, groups=out),
        nn.BatchNorm2d(out),
        convolution(out, out, 1),
        nn.BatchNorm2d(out),
    )


def _stage(channels: int, out: int, *, blocks: int) -> nn.Sequential:
    return nn.Sequential(_DownBlock(channels, out), *(_Block(out) for _ in range(blocks)))


def cifar_shufflenet_v2(num_classes: int = 100, *, width: float = 1.0) -> CifarShuffleNetV2:
    """ShuffleNetV2 for 32x32 images, 1.36 million parameters; other widths 0.5, 1.5 and 2.0."""
    return CifarShuffleNetV2(width=width, num_classes=num_classes)
