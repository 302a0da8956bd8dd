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
    """Shows batches done, the validation accuracy and the time left; prints one line when training ends.

    Args:
        label: what is being trained.
        console: where to.
    """

    def __init__(self, label: str, console: Console) -> None:
        self.label, self.console = label, console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._drawn = self._began = monotonic()
        self._accuracy = ""

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
                TextColumn("{task.fields[accuracy]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            done = trainer.current_epoch * int(trainer.num_training_batches)
            self._task = self._bar.add_task(self.label, total=total, completed=done, accuracy=self._accuracy)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None and monotonic() - self._drawn > REFRESH_SECONDS:
            self._drawn = monotonic()
            done = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx + 1
            self._bar.update(self._task, completed=done, accuracy=self._accuracy)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accuracy = trainer.callback_metrics.get("val_accuracy")
        self._accuracy = "" if accuracy is None else f"validation {100 * float(accuracy):.2f} %"
        if trainer.is_global_zero and not self.console.is_terminal:
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.console.print(f"{self.label}: {epoch}  {self._accuracy}  {monotonic() - self._began:.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()
        if trainer.is_global_zero and self.console.is_terminal:
            self.console.print(f"{self.label}: {self._accuracy}  {monotonic() - self._began:.1f} s")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
