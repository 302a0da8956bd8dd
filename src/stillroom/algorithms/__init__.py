"""Algorithms: who trains whom, when. Each is a LightningModule over a distiller; a task is what they train it for."""

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, split
from stillroom.algorithms.classification import Classification, logits_of
from stillroom.algorithms.dafl import DAFL
from stillroom.algorithms.data_free import DataFree
from stillroom.algorithms.detection import Detection
from stillroom.algorithms.dfad import DFAD
from stillroom.algorithms.factor_stage import FactorStage
from stillroom.algorithms.mean_teacher import MeanTeacher
from stillroom.algorithms.mutual import Mutual
from stillroom.algorithms.offline import Offline
from stillroom.algorithms.self_distill import Branch, SelfDistill
from stillroom.algorithms.spared_sgd import SparedSGD
from stillroom.algorithms.task import Evaluation, Meter, Task
from stillroom.algorithms.tasks import as_task, task_loss
from stillroom.algorithms.warm_up import WarmUpMultiStepLR
from stillroom.algorithms.zskt import ZSKT

__all__ = [
    "DAFL",
    "DFAD",
    "ZSKT",
    "Algorithm",
    "Branch",
    "Classification",
    "DataFree",
    "Detection",
    "Evaluation",
    "FactorStage",
    "MeanTeacher",
    "Meter",
    "Mutual",
    "Offline",
    "OptimizerMaker",
    "SchedulerMaker",
    "SelfDistill",
    "SparedSGD",
    "Task",
    "WarmUpMultiStepLR",
    "as_task",
    "logits_of",
    "split",
    "task_loss",
]
