"""Convolution, norm, activation: the block that most adapters of maps are made of."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map, one_of

Norm = Literal["batch"]
Activation = Literal["relu", "leaky_relu", "gelu", "silu"]


def activation_layer(activation: Activation | None) -> nn.Module:
    """The layer of this name; of none, one that does nothing.

    Raises:
        StillroomError: there is none of this name; gives the nearest.
    """
    if activation is None:
        return nn.Identity()
    layers = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU}
    one_of("activation", activation, layers)
    return layers[activation]()


@final
class ConvNormAct(nn.Module):
    """A convolution, then a norm, then an activation, of which the last two can be left out.

    It is linear unless an activation is asked for: many sites lie before one. The default (1x1, batch norm, linear) is
    the student's connector of OFD; with ``activation="relu"`` it is that of SRRL.

    Args:
        in_channels: channels of the feature, at least 1.
        out_channels: channels wanted, at least 1.
        kernel_size: side of the kernel, in pixels.
        stride: step of the kernel, in pixels.
        padding: zeros around the map, in pixels; None for ``(kernel_size − 1) // 2``, which keeps the size at stride 1
            and an odd kernel.
        norm: ``"batch"``, or None; the convolution has a bias only without one.
        activation: ``"relu"``, ``"leaky_relu"``, ``"gelu"``, ``"silu"``, or None.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H', W'), ``H' = (H + 2 padding − kernel_size) // stride + 1``.

    Raises:
        StillroomError: for numbers out of range, an unknown norm or activation, and a feature of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 1,
        stride: int = 1,
        padding: int | None = None,
        norm: Norm | None = "batch",
        activation: Activation | None = None,
    ) -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
        padding = (kernel_size - 1) // 2 if padding is None else padding
        at_least(0, padding=padding)
        if norm is not None:
            one_of("norm", norm, ["batch"])
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=norm is None)
        self.norm = nn.Identity() if norm is None else nn.BatchNorm2d(out_channels)
        self.activation = activation_layer(activation)

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.conv.in_channels)
        return self.activation(self.norm(self.conv(feature)))
