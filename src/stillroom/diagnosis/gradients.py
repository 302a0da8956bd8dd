"""How strongly a loss pulls at some parameters, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pull:
    """The gradient of one loss.

    Attributes:
        parts: for each parameter, None where the loss does not depend on it.
    """

    parts: tuple[Tensor | None, ...]

    @property
    def reaches(self) -> bool:
        """Whether the loss depends on any of the parameters."""
        return any(part is not None for part in self.parts)

    @property
    def is_zero(self) -> bool:
        """Whether every number of it is exactly 0."""
        return not any(bool(part.any()) for part in self.parts if part is not None)

    @property
    def norm(self) -> float:
        """The Euclidean norm over all parameters."""
        return sqrt(self.along(self))

    def along(self, other: Pull) -> float:
        """The scalar product with another one."""
        pairs = zip(self.parts, other.parts, strict=True)
        return sum(
            float(torch.vdot(_flat(one), _flat(two))) for one, two in pairs if one is not None and two is not None
        )

    def cosine(self, other: Pull) -> float | None:
        """Of the angle to another one; None where either is 0, or not finite."""
        norms = self.norm * other.norm
        return self.along(other) / norms if norms and isfinite(norms) else None


def pull(loss: Tensor, parameters: Sequence[Tensor]) -> Pull:
    """The gradient of a loss, scalar, for parameters; the graph is kept, and no ``grad`` is touched."""
    if not loss.requires_grad or not parameters:
        return Pull((None,) * len(parameters))
    return Pull(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def _flat(part: Tensor) -> Tensor:
    return part.detach().float().flatten()
