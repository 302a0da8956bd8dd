"""SGD whose weight decay spares biases and normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from torch import nn
from torch.optim import SGD


@final
class SparedSGD(SGD):
    """``torch.optim.SGD`` with weight decay on weights alone: parameters of two dimensions and more.

    Biases, and the scales and shifts of normalisation, have one dimension: they are a group without decay.

    Args:
        params: what is trained.
        lr: learning rate.
        momentum: of the gradients.
        weight_decay: of the weights.
        nesterov: Nesterov's momentum.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        given = list(params)
        weights = [parameter for parameter in given if parameter.dim() > 1]
        spared = [parameter for parameter in given if parameter.dim() <= 1]
        groups = [{"params": weights, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
        super().__init__([group for group in groups if group["params"]], lr=lr, momentum=momentum, nesterov=nesterov)
