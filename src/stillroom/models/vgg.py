"""VGG networks for 32x32 images, with batch normalisation and one linear layer.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015, made smaller
as in RepDistiller (Tian et al. 2020).
"""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.parts import average, check_count, he_normal

__all__ = ["VGG", "vgg8", "vgg11", "vgg13", "vgg16", "vgg19"]


class VGG(nn.Module):
    """Five blocks of 3x3 convolutions with batch normalisation, for small images.

    Its children, and so its sites, are ``block1`` to ``block5`` (each after its last ReLU), ``pool`` (a vector per
    image) and ``fc``. In a block stand ``conv1``, ``bn1``, ``relu1``, ``conv2`` and so on; the value before the last
    ReLU of ``block3`` in a VGG-13 is ``block3.bn2``. ``block2``, ``block3`` and ``block4`` begin with ``down``, a
    max-pool: the last two blocks see maps of one size, an eighth of the image's. RepDistiller adds a fourth max-pool
    for 64x64 images only; here no layer depends on the image.

    The names count three linear layers as the original has; here there is one. Convolutions have a bias, which the
    batch normalisation behind them makes idle, but which all published counts contain. They start from He's normal
    distribution over the fan out, ``fc`` from a deviation of 0.01, biases from zero, as RepDistiller's do.

    Args:
        convolutions: how many the five blocks have, with 64, 128, 256, 512 and 512 channels.
        num_classes: length of the output.

    Shape:
        images (N, 3, H, W), made for 32x32, at least 8x8; output (N, num_classes), logits.

    Raises:
        StillroomError: unless there are five numbers of convolutions, each above 0; for a class count below one.
    """

    def __init__(
        self, *, convolutions: tuple[int, int, int, int, int] = (1, 1, 1, 1, 1), num_classes: int = 100
    ) -> None:
        super().__init__()
        if len(convolutions) != 5 or min(convolutions) < 1:
            raise StillroomError("bad convolutions", expected="5 numbers above 0, one for each block", got=convolutions)
        check_count("num_classes", num_classes)
        one, two, three, four, five = convolutions
        self.block1 = _block(3, 64, one, down=False)
        self.block2 = _block(64, 128, two)
        self.block3 = _block(128, 256, three)
        self.block4 = _block(256, 512, four)
        self.block5 = _block(512, 512, five, down=False)
        self.pool = average()
        self.fc = nn.Linear(512, num_classes)
        he_normal(self)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.block5(self.block4(self.block3(self.block2(self.block1(images)))))
        return self.fc(self.pool(maps))


def _block(channels: int, out: int, convolutions: int, *, down: bool = True) -> nn.Sequential:
    block = nn.Sequential()
    if down:
        block.add_module("down", nn.MaxPool2d(2))
    for number in range(1, convolutions + 1):
        block.add_module(f"conv{number}", nn.Conv2d(channels if number == 1 else out, out, 3, padding=1))
        block.add_module(f"bn{number}", nn.BatchNorm2d(out))
        # Not in place: so a recorder of the batch normalisation needs no copy of the values before the ReLU.
        block.add_module(f"relu{number}", nn.ReLU())
    return block


def vgg8(num_classes: int = 100) -> VGG:
    """VGG-8 for 32x32 images, 3.97 million parameters."""
    return VGG(convolutions=(1, 1, 1, 1, 1), num_classes=num_classes)


def vgg11(num_classes: int = 100) -> VGG:
    """VGG-11 for 32x32 images, 9.28 million parameters."""
    return VGG(convolutions=(1, 1, 2, 2, 2), num_classes=num_classes)


def vgg13(num_classes: int = 100) -> VGG:
    """VGG-13 for 32x32 images, 9.46 million parameters."""
    return VGG(convolutions=(2, 2, 2, 2, 2), num_classes=num_classes)


def vgg16(num_classes: int = 100) -> VGG:
    """VGG-16 for 32x32 images, 14.77 million parameters."""
    return VGG(convolutions=(2, 2, 3, 3, 3), num_classes=num_classes)


def vgg19(num_classes: int = 100) -> VGG:
    """VGG-19 for 32x32 images, 20.09 million parameters."""
    return VGG(convolutions=(2, 2, 4, 4, 4), num_classes=num_classes)
