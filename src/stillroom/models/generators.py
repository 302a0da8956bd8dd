"""Generators of images from random numbers: what data-free distillation has instead of data."""

from __future__ import annotations

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models.parts import check_count

__all__ = ["DAFLGenerator", "ZSKTGenerator"]

SLOPE = 0.2


class DAFLGenerator(nn.Module):
    """The generator of DAFL (Chen et al., ICCV 2019), and with ``eps=1e-5`` that of DFAD (Fang et al., 2019).

    A linear layer makes maps of a quarter of the size; batch normalisation; then two times: nearest upsampling by 2, a
    3x3 convolution, batch normalisation, LeakyReLU of slope 0.2; a last 3x3 convolution, tanh, and a batch
    normalisation without parameters. Tanh alone would bound the images to [-1, 1]; normalised, each channel has mean 0
    and deviation 1 over a batch in train mode, as standardised images have, and no fixed bounds.

    Args:
        image_size: height and width of the images, divisible by 4.
        latent: random numbers that make one image.
        hidden: channels of the maps, an even number; the last ones have half as many.
        channels: of the images.
        eps: of the two batch normalisations between the convolutions. The authors' 0.8 dampens them.

    Shape:
        numbers (N, latent), drawn from a standard normal distribution; output (N, channels, image_size, image_size).

    Raises:
        StillroomError: for a size that is not divisible by 4, an odd ``hidden``, or an argument that is out of range.
    """

    def __init__(self, *, image_size: int, latent: int, hidden: int = 128, channels: int = 3, eps: float = 0.8) -> None:
        super().__init__()
        _check(image_size=image_size, latent=latent, hidden=hidden, channels=channels)
        if eps <= 0:
            raise StillroomError("bad eps", expected="more than 0", got=eps)
        self.latent = latent
        self.start = _start(image_size, latent, hidden)
        self.grow = nn.Sequential(
            _doubled(hidden, hidden, eps=eps),
            _doubled(hidden, hidden // 2, eps=eps),
            nn.Conv2d(hidden // 2, channels, 3, padding=1),
        )
        self.finish = nn.Sequential(nn.Tanh(), nn.BatchNorm2d(channels, affine=False))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.finish(self.grow(self.start(numbers)))


class ZSKTGenerator(nn.Module):
    """The generator of zero-shot knowledge transfer (Micaelli, Storkey, NeurIPS 2019).

    As :class:`DAFLGenerator`, but without tanh, and the last batch normalisation learns a scale and a shift: images
    have the mean and the deviation that it has learned, at first 0 and 1, and no bounds.

    Args:
        image_size: height and width of the images, divisible by 4.
        latent: random numbers that make one image.
        hidden: channels of the maps, an even number; the last ones have half as many.
        channels: of the images.

    Shape:
        numbers (N, latent), drawn from a standard normal distribution; output (N, channels, image_size, image_size).

    Raises:
        StillroomError: for a size that is not divisible by 4, an odd ``hidden``, or an argument that is out of range.
    """

    def __init__(self, *, image_size: int, latent: int, hidden: int = 128, channels: int = 3) -> None:
        super().__init__()
        _check(image_size=image_size, latent=latent, hidden=hidden, channels=channels)
        self.latent = latent
        self.start = _start(image_size, latent, hidden)
        self.grow = nn.Sequential(
            _doubled(hidden, hidden),
            _doubled(hidden, hidden // 2),
            nn.Conv2d(hidden // 2, channels, 3, padding=1),
        )
        self.finish = nn.BatchNorm2d(channels)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.finish(self.grow(self.start(numbers)))


def _check(*, image_size: int, latent: int, hidden: int, channels: int) -> None:
    for name, value in (("image_size", image_size), ("latent", latent), ("channels", channels)):
        check_count(name, value)
    if image_size % 4:
        raise StillroomError(
            "bad image_size",
            expected="a multiple of 4, since the maps double twice",
            got=image_size,
        )
    if hidden < 2 or hidden % 2:
        raise StillroomError("bad hidden", expected="an even number from 2", got=hidden)


def _start(image_size: int, latent: int, hidden: int) -> nn.Sequential:
    """Maps of a quarter of the size."""
    side = image_size // 4
    return nn.Sequential(
        nn.Linear(latent, hidden * side**2), nn.Unflatten(1, (hidden, side, side)), nn.BatchNorm2d(hidden)
    )


def _doubled(channels: int, out: int, *, eps: float = 1e-5) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels, out, 3, padding=1),
        nn.BatchNorm2d(out, eps=eps),
        nn.LeakyReLU(SLOPE),
    )
