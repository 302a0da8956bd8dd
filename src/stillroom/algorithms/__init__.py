"""Algorithms: who trains whom, when. Each is a LightningModule over a distiller; a task is what they train it for."""

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, split
from stillroom.algorithms.classification import Classification, logits_of
from stillroom.algorithms.detection import Detection
from stillroom.algorithms.offline import Offline
from stillroom.algorithms.task import Evaluation, Meter, Task
from stillroom.algorithms.tasks import as_task, task_loss

__all__ = [
    "Algorithm",
    "Classification",
    "Detection",
    "Evaluation",
    "Meter",
    "Offline",
    "OptimizerMaker",
    "SchedulerMaker",
    "Task",
    "as_task",
    "logits_of",
    "split",
    "task_loss",
]
