"""Offline distillation: trained teachers teach one student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillroom.algorithms.algorithm import Algorithm


class Offline(Algorithm):
    """Trains a distiller: ``task_weight * the task's loss + the weighted sum of the terms``.

    The teachers run under ``no_grad`` in eval mode. With ``task_weight=0`` labels are optional. Without teacher and
    terms it trains the student alone. Arguments and batches: see :class:`~stillroom.algorithms.Algorithm`.
    """

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        return self.taught(batch)
