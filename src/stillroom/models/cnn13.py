"""The 13-layer network of the semi-supervised literature, for 32x32 images.

A. Tarvainen, H. Valpola: Mean teachers are better role models, NeurIPS 2017, table 5, after S. Laine, T. Aila: Temporal
Ensembling for Semi-Supervised Learning, ICLR 2017.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from stillroom.models.parts import average, check_count, convolution

__all__ = ["CNN13"]


class CNN13(nn.Module):
    """Three blocks of three convolutions, each with batch normalisation and LeakyReLU(.1), and one linear layer.

    Its children, and so its sites, are ``block1`` and ``block2`` (three 3x3 convolutions with 128 and 256 channels, a
    max-pool, dropout), ``block3`` (a 3x3 convolution without padding with 512 channels, then 1x1 ones with 256 and
    128), ``pool`` (a vector per image) and ``fc``. The paper's has weight normalisation besides, and batch
    normalisation of the mean alone; this one is as it is mostly reproduced in PyTorch.

    Args:
        num_classes: length of the output.
        dropout: share of the values that are left out after the first two blocks, in training.

    Shape:
        images (N, 3, H, W), made for 32x32, at least 12x12; output (N, num_classes), logits.

    Raises:
        StillroomError: for a class count below one.
    """

    def __init__(self, *, num_classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        check_count("num_classes", num_classes)
        self.block1 = nn.Sequential(*_units(3, 128, 128, 128), nn.MaxPool2d(2), nn.Dropout(dropout))
        self.block2 = nn.Sequential(*_units(128, 256, 256, 256), nn.MaxPool2d(2), nn.Dropout(dropout))
        self.block3 = nn.Sequential(
            _unit(nn.Conv2d(256, 512, 3, bias=False)), _unit(convolution(512, 256, 1)), _unit(convolution(256, 128, 1))
        )
        self.pool = average()
        self.fc = nn.Linear(128, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.block3(self.block2(self.block1(images)))))


def _units(*channels: int) -> list[nn.Sequential]:
    return [_unit(convolution(before, after, 3)) for before, after in pairwise(channels)]


def _unit(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(0.1))
