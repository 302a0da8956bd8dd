"""Generated data of all classes alike: Chen et al., Data-Free Learning of Student Networks, ICCV 2019, equation 5."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import LOGITS, check_shape
from stillroom.losses.tensors import at_least_float32


def information_entropy(logits: Tensor) -> Tensor:
    """The formula of :class:`InformationEntropy`."""
    check_shape(logits, LOGITS)
    p = torch.softmax(at_least_float32(logits), dim=1).mean(dim=0)
    log_p = p.clamp_min(torch.finfo(p.dtype).tiny).log()  # finite where a class has become 0
    return (p * log_p).sum() / math.log(10)


@final
class InformationEntropy(nn.Module):
    """A generator's images are to spread over all classes.

    ``Σ_c p̄_c log10 p̄_c`` with p̄ the mean over the batch of ``softmax(x)``: the negative entropy, between −log10 C where
    every class is as frequent, and 0 where there is one class only. The logarithm has base 10, as the authors' code
    has. It depends on the batch. Its gradient goes through a frozen teacher to the generator; DAFL weighs it with 5.

    Shape:
        logits: (N, C), a teacher's for generated images. Returns ().

    Raises:
        StillroomError: for anything but logits.

    Example:
        >>> InformationEntropy()(torch.zeros(2, 2))
        tensor(-0.3010)
    """

    facts: ClassVar[Facts] = Facts(
        kind="generated data",
        reads="logits",
        shapes=LOGITS,
        paper="Chen et al., DAFL, ICCV 2019",
        cost="a generator of the images that the teacher sees",
        non_negative=False,
        shift_invariant=True,
    )

    def forward(self, logits: Tensor) -> Tensor:
        return information_entropy(logits)
