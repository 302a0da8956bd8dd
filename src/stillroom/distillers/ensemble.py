"""Several networks that speak as one teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillroom.distillers.teacher import call
from stillroom.errors import StillroomError
from stillroom.recorders import Item, describe, pick


class Ensemble(nn.Module):
    """Classifiers of the same classes, answering with the weighted mean of their probabilities.

    ``tau · log Σ_k w_k softmax(z_k / tau)``: logits whose softmax at the temperature ``tau`` is that mean. Give ``tau``
    the temperature of the loss that reads them; at another one they are the logits of the ensemble's own prediction.

    Args:
        members: networks that return logits; :class:`Teacher` gives one of them a transform or a class map.
        weights: a number from 0 for each member, used in proportion; None for equal ones. ``"confidence"`` weighs each
            member by sample, ``softmax_k(−H_k)`` with the entropy H of its own probabilities: one that is sure of an
            image counts for more there.
        tau: temperature of the mean, above 0.
        items: where the logits are in what each member returns, ``("logits",)``; empty: it returns them.

    Shape:
        Whatever the members take; returns (N, C).

    Raises:
        StillroomError: no members, weights that are none, or logits of different shapes.
    """

    passes_inputs_on = True

    def __init__(
        self,
        members: Sequence[nn.Module],
        *,
        weights: Sequence[float] | Literal["confidence"] | None = None,
        tau: float = 1.0,
        items: Sequence[Item] = (),
    ) -> None:
        super().__init__()
        if not members:
            raise StillroomError("an ensemble needs members", where="members", expected="at least 1", got=0)
        if not 0 < tau < math.inf:
            raise StillroomError("tau is no temperature", expected="tau > 0 and finite", got=tau)
        self.members = nn.ModuleList(members)
        self.by_confidence = weights == "confidence"
        shares = [1.0] * len(members) if weights is None or isinstance(weights, str) else list(weights)
        if (isinstance(weights, str) and not self.by_confidence) or not _is_shares(shares, len(members)):
            raise StillroomError(
                "these are no weights",
                where="weights",
                expected=f'{len(members)} numbers from 0, not all 0, or "confidence"',
                got=weights,
            )
        self.weights = [share / sum(shares) for share in shares]
        self.tau, self.items = tau, tuple(items)

    def forward(self, *inputs: Any) -> Tensor:
        logits = torch.stack(self._same([pick(call(member, inputs), self.items) for member in self.members]))
        log_p = torch.log_softmax(logits / self.tau, dim=-1)
        return self.tau * torch.logsumexp(log_p + self._log_weights(logits), dim=0)

    def _log_weights(self, logits: Tensor) -> Tensor:
        """Shape: (K, 1, 1), or (K, N, 1) by confidence."""
        if self.by_confidence:
            log_p = torch.log_softmax(logits, dim=-1)
            return torch.log_softmax((log_p.exp() * log_p).sum(-1, keepdim=True), dim=0)
        return logits.new_tensor(self.weights).log()[:, None, None]

    def _same(self, answers: list[Any]) -> list[Tensor]:
        first = answers[0]
        for index, answer in enumerate(answers):
            if not isinstance(answer, Tensor) or answer.dim() != 2 or answer.shape != first.shape:
                raise StillroomError(
                    "the members of an ensemble must return logits of the same classes",
                    where=f"members.{index}",
                    expected="logits (N, C)" if index == 0 else f"a Tensor of shape {tuple(first.shape)}",
                    got=describe(answer),
                    fix='Teacher(network, classes=...) maps classes; items=("logits",) says where the logits are.',
                )
        return answers


def _is_shares(shares: Sequence[float], count: int) -> bool:
    return len(shares) == count and all(0 <= share < math.inf for share in shares) and sum(shares) > 0
