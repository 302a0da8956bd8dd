"""What a training was like: metrics.csv and TensorBoard events, exact over any number of resumes."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from time import monotonic
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from tensorboardX import SummaryWriter
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.files import write_text
from stillroom.reports import columns, inside_task

Row = dict[str, Any]


class Sums:
    """Sums over steps, kept on the device without waiting for it."""

    def __init__(self) -> None:
        self.steps = 0
        self.totals: dict[str, Tensor | float] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor | float], counts: dict[str, int] | None = None, *, steps: int = 1) -> None:
        """Add the values of one step, or sums over several with how many values each of them holds."""
        self.steps += steps
        for name, value in values.items():
            before = self.totals.get(name)
            self.totals[name] = value if before is None else before + value
            self.counts[name] = self.counts.get(name, 0) + (1 if counts is None else counts[name])

    def means(self) -> dict[str, float]:
        """By name. A term that was not active in every step has its raw mean over those in which it was."""
        return {
            name: float(total) / (self.steps if name.endswith("_weighted") else self.counts[name])
            for name, total in self.totals.items()
        }

    def state(self) -> dict[str, Any]:
        totals = {name: float(total) for name, total in self.totals.items()}
        return {"steps": self.steps, "totals": totals, "counts": dict(self.counts)}

    def load(self, state: dict[str, Any]) -> None:
        self.steps, self.totals, self.counts = state["steps"], dict(state["totals"]), dict(state["counts"])


class History(Callback):
    """Writes a row every ``every`` steps, one at the end of each epoch, and one for each validation.

    Reads what ``training_step`` returned (``loss``, ``parts``, ``weights``) and what validation logged. All rows and
    the sums of the running epoch are part of the checkpoint: a resumed training writes the file that the unbroken one
    would have written.

    Args:
        folder: the run folder.
        every: steps that one row stands for.
        metric: of the validation.
    """

    def __init__(self, folder: Path, *, every: int, metric: str = "accuracy") -> None:
        self.folder, self.every, self.metric = folder, every, metric
        self.rows: list[Row] = []
        self.parts: list[str] = []
        self._steps, self._epoch = Sums(), Sums()
        self._before, self._began = 0.0, 0.0
        self._running = False
        self._lr = 0.0
        self._events: SummaryWriter | None = None

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumes."""
        return self._before + (monotonic() - self._began if self._running else 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began, self._running = monotonic(), True
        if trainer.is_global_zero:
            self._events = SummaryWriter(str(self.folder), purge_step=trainer.global_step or None)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]  # schedulers move it before the step's other hooks

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        values = _values(cast("dict[str, Any]", outputs))
        self._steps.add(values)
        if self._steps.steps == self.every:
            self._row(trainer, "step", self._steps.means())
            self._close_steps()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        if f"val_{self.metric}" in metrics and not trainer.sanity_checking:
            values = {key: float(metrics[f"val_{key}"]) for key in ("loss", self.metric)}
            _expect_finite("validation", values["loss"])
            self._row(trainer, "validation", values)
            if self._events is not None:  # metrics.csv is about the student alone
                for name in (name for name in metrics if name.startswith(f"val_{self.metric}_")):
                    self._events.add_scalar(f"validation/{name[4:]}", float(metrics[name]), trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close_steps()
        self._row(trainer, "train", self._epoch.means())
        self._epoch = Sums()
        if trainer.is_global_zero:
            self.write()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before, self._running = self.seconds, False  # what is measured afterwards is no training
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": [dict(row) for row in self.rows],
            "parts": list(self.parts),
            "steps": self._steps.state(),
            "epoch": self._epoch.state(),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.parts = list(state_dict["rows"]), list(state_dict["parts"])
        self._steps.load(state_dict["steps"])
        self._epoch.load(state_dict["epoch"])
        self._before = state_dict["seconds"]

    def write(self) -> None:
        """metrics.csv, whole."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns(self.parts, metric=self.metric), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / "metrics.csv", text.getvalue())

    def _close_steps(self) -> None:
        self._epoch.add(self._steps.totals, self._steps.counts, steps=self._steps.steps)
        self._steps = Sums()

    def _row(self, trainer: Trainer, phase: str, values: dict[str, float]) -> None:
        row: Row = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "phase": phase, **values}
        row["seconds"] = round(self.seconds, 3)
        if phase != "validation":
            row["lr"] = self._lr
            self._shares(row, values)
        self.rows.append(row)
        if self._events is not None:
            for name, value in row.items():
                if name not in ("epoch", "step", "phase", "seconds"):
                    self._events.add_scalar(f"{phase}/{name}", value, trainer.global_step)

    def _shares(self, row: Row, values: dict[str, float]) -> None:
        """Share of each part in the sum of all parts' sizes, in which what the task is made of does not count again.

        Raises:
            StillroomError: a part is not finite; devices for which nothing waits in a step are checked here.
        """
        weighted = {
            name.removesuffix("_weighted"): value for name, value in values.items() if name.endswith("_weighted")
        }
        total = sum(abs(value) for name, value in weighted.items() if not inside_task(name))
        for name, value in weighted.items():
            _expect_finite(name if name == "task" or inside_task(name) else f"terms.{name}", value)
            row[f"{name}_share"] = abs(value) / total if total else 0.0
            if name not in self.parts:
                self.parts.append(name)

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None


def _expect_finite(where: str, loss: float) -> None:
    if not math.isfinite(loss):
        raise StillroomError("the loss is not finite", where=where, got=loss, fix="Look at the learning rate.")


def _values(outputs: dict[str, Any]) -> dict[str, Tensor | float]:
    parts = cast("dict[str, Tensor]", outputs["parts"])
    values: dict[str, Tensor | float] = {"loss": outputs["loss"].detach()}
    for name, value in parts.items():
        values[name] = value
        values[f"{name}_weighted"] = value * outputs["weights"][name]
    return values
