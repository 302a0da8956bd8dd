"""What the networks for small images share."""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError


def check_count(name: str, value: int) -> None:
    """Refuses a number below one.

    Raises:
        StillroomError: it names the argument.
    """
    if value < 1:
        raise StillroomError(f"bad {name}", expected="1 or more", got=value)


def convolution(channels: int, out: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded so that only its stride makes the map smaller."""
    return nn.Conv2d(channels, out, size, stride=stride, padding=size // 2, groups=groups, bias=False)


def unit(channels: int, out: int, size: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(convolution(channels, out, size, stride=stride), nn.BatchNorm2d(out), nn.ReLU())


def average() -> nn.Sequential:
    """The mean over the map, a vector per image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def he_normal(model: nn.Module) -> None:
    """Starts all convolutions from He's normal distribution over the fan out, and their biases from zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ChannelShuffle(nn.Module):
    """Deals the channels of ``groups`` groups out in turn: (a b c | d e f) becomes a d b e c f.

    ``torch.nn.ChannelShuffle`` exists for some devices only.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
