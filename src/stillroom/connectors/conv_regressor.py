"""FitNets' regressor: one convolution that adapts channels and size."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map, pair
from stillroom.connectors.conv_norm_act import Activation, activation_layer
from stillroom.errors import StillroomError


@final
class ConvRegressor(nn.Module):
    """One convolution that takes a map of one size to a map of another, then batch norm and ReLU.

    Along each axis, with s the student's size and t the teacher's: ``s = 2t`` is a kernel of 3 with stride 2,
    ``2s = t`` a transposed kernel of 4 with stride 2, any other ``s >= t`` a kernel of ``1 + s − t`` without padding.

    Args:
        in_channels: channels of the student's map, at least 1.
        out_channels: channels of the teacher's map, at least 1.
        in_size: height and width of the student's map, or one number for both.
        out_size: height and width of the teacher's map, or one number for both.
        activation: ``"relu"`` suits a teacher's map after its ReLU; None one before (Activation Boundaries).

    Shape:
        (N, in_channels, *in_size) to (N, out_channels, *out_size).

    Raises:
        StillroomError: for numbers out of range; for a size that no such convolution reaches: less than the teacher's
            and not its half, or doubled along one axis and reduced along the other; and for a feature of another shape.

    Reference:
        Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015, section 2.2; kernels as in Tian et al., Contrastive
        Representation Distillation, ICLR 2020 (the authors' benchmark), there for square maps.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        in_size: int | tuple[int, int],
        out_size: int | tuple[int, int],
        activation: Activation | None = "relu",
    ) -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels)
        self.in_size, self.out_size = pair("in_size", in_size), pair("out_size", out_size)
        layer = nn.ConvTranspose2d if self._grows() else nn.Conv2d
        kernel, stride, padding = zip(*map(_axis, self.in_size, self.out_size), strict=True)
        self.conv = layer(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = activation_layer(activation)

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.conv.in_channels)
        if feature.shape[2:] != self.in_size:
            raise StillroomError(
                "ConvRegressor was built for maps of another size", expected=self.in_size, got=tuple(feature.shape[2:])
            )
        return self.activation(self.norm(self.conv(feature)))

    def _grows(self) -> bool:
        """Whether the convolution is transposed; one that is can leave an axis as it is, but not reduce it."""
        axes = list(zip(self.in_size, self.out_size, strict=True))
        grows = any(2 * have == want for have, want in axes)
        if all(have == want or 2 * have == want for have, want in axes) or all(have >= want for have, want in axes):
            return grows
        raise StillroomError(
            "no convolution of this kind takes one size to the other",
            expected="a map as large as the teacher's, larger, or half as large",
            got=f"student {self.in_size}, teacher {self.out_size}",
            fix='Use connector="auto", or put Resize after Conv1x1, or Pool on the teacher\'s map.',
        )


def _axis(have: int, want: int) -> tuple[int, int, int]:
    """Kernel, stride and padding."""
    if have == 2 * want:
        return 3, 2, 1
    if 2 * have == want:
        return 4, 2, 1
    return 1 + have - want, 1, 0
