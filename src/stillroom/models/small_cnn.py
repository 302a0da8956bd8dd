"""A small convolutional network for small images, quick enough to train on a laptop while one watches."""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError

__all__ = ["SmallCNN"]


class SmallCNN(nn.Module):
    """Three convolutions with batch normalisation and ReLU, an average over the map, one linear layer.

    Its children, and so its sites, are ``stem``, ``layer1``, ``layer2``, ``pool`` (a vector per image) and ``fc``.
    One width makes a teacher of it (64), another a student (4 to 8).

    Args:
        num_classes: length of the output.
        in_channels: channels of the images.
        width: channels of the stem and of ``layer1``; ``layer2`` has twice as many.

    Shape:
        images (N, in_channels, H, W), for example 8x8 or 28x28; output (N, num_classes), logits. ``layer1`` and
        ``layer2`` halve the map.

    Raises:
        StillroomError: for an argument below one.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 1, width: int = 16) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            if value < 1:
                raise StillroomError(f"bad {name}", expected="1 or more", got=value)
        self.stem = _unit(in_channels, width, stride=1)
        self.layer1 = _unit(width, width, stride=2)
        self.layer2 = _unit(width, 2 * width, stride=2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.layer2(self.layer1(self.stem(images)))))


def _unit(channels: int, out: int, *, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())
