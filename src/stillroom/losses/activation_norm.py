"""Generated data that excites a network: Chen et al., Data-Free Learning of Student Networks, ICCV 2019, equation 4."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import FEATURES, check_shape
from stillroom.losses.tensors import at_least_float32


def activation_norm(features: Tensor) -> Tensor:
    """The formula of :class:`ActivationNorm`."""
    check_shape(features, FEATURES)
    return -at_least_float32(features).abs().mean()


@final
class ActivationNorm(nn.Module):
    """A generator's images are to excite the filters of the network that sees them, as real ones do.

    ``−mean |x|`` over every element; never above 0. Its gradient goes through a frozen teacher to the generator. DAFL
    reads the pooled vector before the classifier and weighs the term with 0.01.

    Shape:
        features: (N, D), (N, C, H, W) or any other (N, ...), a teacher's for generated images. Returns ().

    Raises:
        StillroomError: for anything but features.

    Example:
        >>> ActivationNorm()(torch.tensor([[1.0, -3.0]]))
        tensor(-2.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="generated data",
        reads="feature",
        shapes=FEATURES,
        paper="Chen et al., DAFL, ICCV 2019",
        cost="a generator of the images that the teacher sees",
        non_negative=False,
        per_sample_mean=True,
    )

    def forward(self, features: Tensor) -> Tensor:
        return activation_norm(features)
