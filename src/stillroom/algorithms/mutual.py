"""Deep mutual learning: several students teach one another, without a trained teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, refuse_names, split
from stillroom.algorithms.classification import logits_of
from stillroom.distillers import Distiller, Schedule, call
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.losses import KLDivergence


class Mutual(Algorithm):
    """The student and its peers learn together, each from the labels and from what the others say.

    Each of the K players minimises ``task_weight · task + weight · 1/(K − 1) · Σ loss(own logits, another's logits)``,
    where the other's logits are a constant. All are computed from one forward pass of each player and updated at once;
    the paper updates one after the other. Player 0 is the distiller's student, whose terms count for it besides. The
    players share one optimizer object, in groups of parameters of their own, and gradients are clipped for each player
    by itself; what an optimizer does to every number by itself is then what one per player would do.

    Peers are trained, saved and resumed with the student, measured in validation as ``val_accuracy_peer1`` ..., and
    written to ``peer1/model.safetensors`` ...; nothing of them is in the student. Parts of the loss are ``mutual``,
    ``peer1_task``, ``peer1_mutual`` ...

    Args:
        distiller: see :class:`~stillroom.algorithms.Algorithm`, also for what is not named here.
        peers: further classifiers of the same classes, at least one; their first weights must not be the student's.
        loss: called as ``loss(logits, others_logits)``; None for ``KLDivergence(tau=1)``.
        weight: of the mean over the others.
        peers_listen: False for teachers that are trained beside the student: they learn from the labels alone.

    Raises:
        StillroomError: there is no peer, one object plays twice, the loss has parameters, or a term has the name of a
            part.

    Reference:
        Zhang et al., Deep Mutual Learning, CVPR 2018, equations 4 to 9.
    """

    def __init__(  # noqa: PLR0913 - what all algorithms take, and what players say to each other
        self,
        distiller: Distiller,
        *,
        peers: list[nn.Module],
        loss: nn.Module | None = None,
        weight: float = 1.0,
        peers_listen: bool = True,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            distiller,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        self.loss = KLDivergence() if loss is None else loss
        _check_players([distiller.student, *peers], self.loss)
        self.weight, self.peers_listen = weight, peers_listen
        self.peers = nn.ModuleList(peers)
        self.accompanied_by({f"peer{number}": peer for number, peer in enumerate(peers, start=1)})
        refuse_names(
            distiller, ["mutual", *(f"{name}_{part}" for name in self.companions for part in ("task", "mutual"))]
        )

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        inputs, context = split(batch)
        distilled = self.distiller(inputs, **context)
        outputs = [distilled.output, *(call(peer, (inputs,)) for peer in self.peers)]
        logits = [logits_of(output) for output in outputs]
        step = self.learned(distilled, context)
        self._add(step, "mutual", self._mutual(logits, 0), self.weight)
        for player, name in enumerate(self.companions, start=1):
            if self.task_weight != 0:
                self._add(step, f"{name}_task", self.task(outputs[player], context), self.task_weight)
            if self.peers_listen:
                self._add(step, f"{name}_mutual", self._mutual(logits, player), self.weight)
        return step

    def rehearse(self, batch: Mapping[str, Any]) -> None:
        with untouched(self):
            self.training_step(batch, 0)

    def make_optimizer(self) -> Optimizer:
        optimizer = super().make_optimizer()
        for peer in self.peers:
            for group in self._make_optimizer(peer.parameters()).param_groups:
                optimizer.add_param_group(group)
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of each player's gradient by itself: one that explodes must not silence the others."""
        if gradient_clip_val is None or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        for player in (self.distiller, *self.peers):
            torch.nn.utils.clip_grad_norm_(player.parameters(), gradient_clip_val)

    def _mutual(self, logits: list[Tensor], player: int) -> Tensor:
        others = [other.detach() for index, other in enumerate(logits) if index != player]
        return torch.stack([self.loss(logits[player], other) for other in others]).mean()

    @staticmethod
    def _add(step: dict[str, Any], name: str, part: Tensor, weight: float) -> None:
        step["loss"] = step["loss"] + weight * part
        step["parts"][name], step["weights"][name] = part.detach(), weight


def _check_players(players: list[nn.Module], loss: nn.Module) -> None:
    where = "algorithm.peers"
    if len(players) < 2:
        raise StillroomError(
            "nobody is there to learn from", where=where, expected="one peer or more", got=0, fix="Name one."
        )
    parameters = [id(parameter) for player in players for parameter in player.parameters()]
    if len(set(parameters)) < len(parameters):
        raise StillroomError("players share parameters", where=where, fix="Give each player a network of its own.")
    if list(loss.parameters()):
        raise StillroomError(
            "a mutual loss belongs to no player, so nothing would train its parameters",
            where="algorithm.loss",
            got=type(loss).__name__,
        )
