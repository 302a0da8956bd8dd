"""Be your own teacher: classifiers at early stages of one network learn from its end, and the network with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, refuse_names, split
from stillroom.algorithms.classification import logits_of
from stillroom.distillers import Distiller, Schedule, call
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.losses import L2, KLDivergence
from stillroom.recorders import record

_FEATURE = "algorithm.feature"


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A classifier at an early stage.

    Args:
        site: the stage whose output it reads, such as ``"layer1"``.
        connector: makes of that a feature (N, D) and logits (N, C), as :class:`~stillroom.connectors.SelfBranch` does.
        task_weight: of the task loss of its logits.
        logits_weight: of the divergence from the network's own logits.
        feature_weight: of the squared distance from the network's own feature; 0 where the branch has another width.
    """

    site: str
    connector: nn.Module
    task_weight: float = 0.7
    logits_weight: float = 0.3
    feature_weight: float = 0.03


class SelfDistill(Algorithm):
    """One network whose early stages have classifiers of their own, which learn from the labels and from its end.

    To the network's task loss each branch adds ``.7 · task + .3 · KL(to the final logits, tau 3) + .03 · the squared
    Euclidean distance to the final feature``, summed over the feature and averaged over the images; what is learned
    from is a constant. Teachers and terms of the distiller count besides.

    Branches are trained, saved and resumed with the student, measured in validation as ``val_accuracy_branch1`` ...,
    and written to ``branch1/model.safetensors`` ...; nothing of them is in the student. Parts of the loss are
    ``branch1_task``, ``branch1_logits``, ``branch1_feature`` ...

    Args:
        distiller: see :class:`~stillroom.algorithms.Algorithm`, also for what is not named here.
        branches: from the first stage to the last but one, at least one.
        feature: site of the vector before the network's classifier, (N, D) or (N, D, 1, 1).
        tau: temperature of the divergence, above 0.

    Raises:
        StillroomError: there is no branch, or a term has the name of a part.

    Reference:
        Zhang et al., Be Your Own Teacher, ICCV 2019, equations 2 to 5.
    """

    def __init__(  # noqa: PLR0913 - what all algorithms take, and the branches
        self,
        distiller: Distiller,
        *,
        branches: list[Branch],
        feature: str,
        tau: float = 3.0,
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
        if not branches:
            raise StillroomError("self-distillation needs a branch", where="algorithm.branches", got=branches)
        self.named = {f"branch{number}": branch for number, branch in enumerate(branches, start=1)}
        self.branches = nn.ModuleDict({name: branch.connector for name, branch in self.named.items()})
        self.divergence, self.distance = KLDivergence(tau=tau), L2(reduction="batchmean")
        # By the names that an error gives to them.
        self._sites = {_FEATURE: feature} | {f"algorithm.{name}": branch.site for name, branch in self.named.items()}
        self.accompanied_by({name: _Exit(self.student, branch) for name, branch in self.named.items()})
        refuse_names(distiller, (f"{name}_{part}" for name in self.named for part in ("task", "logits", "feature")))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        inputs, context = split(batch)
        with record(self.student, **self._sites) as seen:
            distilled = self.distiller(inputs, **context)
        step = self.learned(distilled, context)
        logits, feature = logits_of(distilled.output).detach(), seen[_FEATURE].detach().flatten(1)
        for name, branch in self.named.items():
            own_feature, own_logits = self.branches[name](seen[f"algorithm.{name}"])
            parts: dict[str, tuple[Tensor, float]] = {}
            if branch.task_weight != 0:
                parts["task"] = self.task(own_logits, context), branch.task_weight
            if branch.logits_weight != 0:
                parts["logits"] = self.divergence(own_logits, logits), branch.logits_weight
            if branch.feature_weight != 0:
                _expect_alike(own_feature, feature, name)
                parts["feature"] = self.distance(own_feature, feature), branch.feature_weight
            for part, (value, weight) in parts.items():
                step["loss"] = step["loss"] + weight * value
                step["parts"][f"{name}_{part}"], step["weights"][f"{name}_{part}"] = value.detach(), weight
        return step

    def rehearse(self, batch: Mapping[str, Any]) -> None:
        with untouched(self):
            self.training_step(batch, 0)

    def make_optimizer(self) -> Optimizer:
        return self._make_optimizer(chain(self.distiller.parameters(), self.branches.parameters()))


def _expect_alike(own: Tensor, feature: Tensor, name: str) -> None:
    if own.shape != feature.shape:
        raise StillroomError(
            "the branch's feature is not like the network's",
            where=f"algorithm.{name}",
            expected=tuple(feature.shape),
            got=tuple(own.shape),
            fix="Give its connector other out_channels, choose another feature, or set its feature_weight to 0.",
        )


class _Exit(nn.Module):
    """What a branch says of an image, in evaluation. The network that it grows on is no part of it."""

    passes_inputs_on = True

    def __init__(self, network: nn.Module, branch: Branch) -> None:
        super().__init__()
        self.module, self._site, self._network = branch.connector, branch.site, [network]

    def forward(self, *inputs: Any) -> Tensor:
        (network,) = self._network
        with untouched(network), record(network, site=self._site) as seen:
            call(network.eval(), inputs)
        return self.module(seen["site"])[1]
