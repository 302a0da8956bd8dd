"""Generated data that a network is sure of: Chen et al., Data-Free Learning of Student Networks, ICCV 2019."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.hard_label import hard_label
from stillroom.losses.shapes import LOGITS, check_shape


def one_hot_like(logits: Tensor) -> Tensor:
    """The formula of :class:`OneHotLike`."""
    check_shape(logits, LOGITS)
    return hard_label(logits, logits)


@final
class OneHotLike(nn.Module):
    """A generator's images are to look like one class each to the network that sees them.

    Mean over the batch of ``−log softmax(x)_k``, with ``k = argmax_c x_c``: the cross entropy to the own decision. Its
    gradient goes through a frozen teacher to the generator; DAFL weighs it with 0.05.

    Shape:
        logits: (N, C), a teacher's for generated images. Returns ().

    Raises:
        StillroomError: for anything but logits.

    Example:
        >>> OneHotLike()(torch.zeros(1, 2))
        tensor(0.6931)
    """

    facts: ClassVar[Facts] = Facts(
        kind="generated data",
        reads="logits",
        shapes=LOGITS,
        paper="Chen et al., DAFL, ICCV 2019",
        cost="a generator of the images that the teacher sees",
        per_sample_mean=True,
        shift_invariant=True,
    )

    def forward(self, logits: Tensor) -> Tensor:
        return one_hot_like(logits)
