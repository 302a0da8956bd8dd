"""Small models of every kind that has stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def images(count: int = 2, size: int = 16, *, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


class Block(nn.Module):
    """Two convolutions; the activation, if any, is the last module."""

    def __init__(self, channels: int, out: int, *, stride: int = 1, activation: type[nn.Module] | None = nn.ReLU):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)
        self.act = nn.Identity() if activation is None else activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv2(self.conv1(x))))


class Pyramid(nn.Module):
    """Maps at strides 2, 4 and 8 behind a stem."""

    def __init__(self, width: int = 4, *, classes: int = 5, activation: type[nn.Module] | None = nn.ReLU):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.one = Block(width, width, stride=2, activation=activation)
        self.two = Block(width, 2 * width, stride=2, activation=activation)
        self.three = Block(2 * width, 4 * width, stride=2, activation=activation)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.three(self.two(self.one(self.stem(x))))).mean((2, 3)))


class Flat(nn.Module):
    """One convolution at each stride, all in a row, with pools between and dropout before them."""

    def __init__(self, width: int = 4, classes: int = 5):
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out in ((3, width), (width, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout2d(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3)))


class Hourglass(nn.Module):
    """A pyramid whose map grows again, and two convolutions and a pooled one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.up = Block(16, 8)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 1), nn.Conv2d(5, 5, 1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        p = self.pyramid
        return self.head(self.up(F.interpolate(p.three(p.two(p.one(p.stem(x)))), scale_factor=2.0)))


class Layer(nn.Module):
    """A block of tokens that returns a tuple, as many libraries do."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 8), nn.Linear(8, width)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x + self.down(F.gelu(self.up(self.norm(x)))), None


class Transformer(nn.Module):
    """Tokens at one stride, behind so many others; its answer has a name."""

    def __init__(self, width: int = 6, *, depth: int = 8, prefix: int = 1, patch: int = 4, classes: int = 5):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.prefix = nn.Parameter(torch.randn(1, prefix, width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.fc = nn.Linear(width, classes)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.prefix.expand(len(tokens), -1, -1), tokens), 1)
        for layer in self.layers:
            tokens, _ = layer(tokens)
        return {"logits": self.fc(tokens[:, 0])}


class Merge(nn.Module):
    """Halves a map with its channels last and works on it."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.merge, self.work = nn.Linear(4 * width, out), nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.work(self.merge(torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], 3)))


class ChannelsLast(nn.Module):
    """Maps (N, H, W, C) at strides 2, 4 and 8."""

    def __init__(self, width: int = 3, classes: int = 5):
        super().__init__()
        self.one, self.two, self.three = Merge(3, width), Merge(width, 2 * width), Merge(2 * width, 5 * width)
        self.fc = nn.Linear(5 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.three(self.two(self.one(x.movedim(1, 3)))).mean((1, 2)))


class Vectors(nn.Module):
    """A model of images without a map."""

    def __init__(self, classes: int = 5):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6), nn.ReLU(), nn.Linear(6, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
