"""No adaptation."""

from __future__ import annotations

from torch import Tensor, nn


class Identity(nn.Module):
    """The feature as it is: what ``connector="auto"`` infers for two equal shapes."""

    def forward(self, feature: Tensor) -> Tensor:
        return feature
