"""The progress of a training: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

REFRESH_SECONDS = 0.2


class ProgressBar(Callback):
    """Shows batches done, the metric of the validation and the time left; prints one line when training ends.

    Args:
        label: what is being trained.
        console: where to.
        metric: what the validation measures.
    """

    def __init__(self, label: str, console: Console, *, metric: str = "accuracy") -> None:
        self.label, self.console, self.metric = label, console, metric
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._drawn = self._began = monotonic()
        self._reached = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._began = monotonic()
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[reached]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            done = trainer.current_epoch * int(trainer.num_training_batches)
            self._task = self._bar.add_task(self.label, total=total, completed=done, reached=self._reached)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None and monotonic() - self._drawn > REFRESH_SECONDS:
            self._drawn = monotonic()
            done = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx + 1
            self._bar.update(self._task, completed=done, reached=self._reached)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = trainer.callback_metrics.get(f"val_{self.metric}")
        what = "validation" if self.metric == "accuracy" else f"validation {self.metric}"
        self._reached = "" if value is None else f"{what} {100 * float(value):.2f} %"
        if trainer.is_global_zero and not self.console.is_terminal:
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.console.print(f"{self.label}: {epoch}  {self._reached}  {monotonic() - self._began:.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()
        if trainer.is_global_zero and self.console.is_terminal:
            self.console.print(f"{self.label}: {self._reached}  {monotonic() - self._began:.1f} s")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
