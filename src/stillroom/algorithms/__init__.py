"""Algorithms: who trains whom, when. Each is a LightningModule over a distiller."""

from stillroom.algorithms.offline import Offline, OptimizerMaker, SchedulerMaker, split
from stillroom.algorithms.task import logits_of, task_loss

__all__ = ["Offline", "OptimizerMaker", "SchedulerMaker", "logits_of", "split", "task_loss"]
