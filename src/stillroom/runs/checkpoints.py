"""Checkpoints from which a training goes on as if it had never stopped, and that notice when they are damaged."""

from __future__ import annotations

import math
import os
import re
import shutil
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import Any, BinaryIO

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from stillroom.errors import StillroomError, did_you_mean

_DIGITS = 64  # of a SHA-256 in hexadecimal
_NUMBERED = re.compile(r"(epoch|step)-\d+\.ckpt")


class Checkpoints(Checkpoint):
    """Writes ``last.ckpt``, ``best.ckpt`` and, when asked, ``epoch-<k>.ckpt`` and ``step-<k>.ckpt`` into
    ``<folder>/checkpoints``.

    ``last.ckpt`` is written at the end of each epoch, and within it between two batches: every ``seconds``, with each
    file of a step, and when the training is about to stop (SIGTERM, ``trainer.should_stop``). Within an epoch only
    where no accumulated gradients are pending, for these are in no file, and not after its last batch, after which
    Lightning would skip the validation on resuming: a file of a step waits for the end of the epoch then. On any other
    exception the last good file stays. Each file is whole or absent.

    Lightning calls this callback after all others and after the module's own ``on_train_epoch_end``, because it is a
    ``Checkpoint``; for the same reason the Trainer must not be given ``enable_checkpointing=False``.

    Args:
        folder: the run folder.
        seconds: least time between two files within an epoch.
        monitor: the metric of the validation by which the best epoch is chosen: the largest value, the first of
            equal ones. None: there is no ``best.ckpt``.
        every_n_epochs: keep the file of every n-th epoch; None: of none.
        every_n_steps: keep a file of every n-th optimizer step; None: of none.
        keep: how many of the files with a number are kept, the newest; None: all.

    Raises:
        StillroomError: a count is below 1, the trainer has ``max_steps``, or ``monitor`` was not logged.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seconds: float = 60.0,
        monitor: str | None = "val_accuracy",
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        keep: int | None = None,
    ) -> None:
        counts = {"every_n_epochs": every_n_epochs, "every_n_steps": every_n_steps, "keep": keep}
        for name, count in counts.items():
            if count is not None and count < 1:
                raise StillroomError(f"{name} is out of range", expected="1 or more, or none", got=count)
        self.folder = Path(folder) / "checkpoints"
        self.seconds, self.monitor, self.keep = seconds, monitor, keep
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self._elapsed_before = 0.0
        self._seen = 0  # optimizer steps of which the files with a number are written
        self._began = self._saved = monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._elapsed_before + monotonic() - self._began

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "best_epoch": self.best_epoch, "elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]
        self._elapsed_before = state_dict["elapsed"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trial = getattr(trainer, "fast_dev_run", False)  # which sets max_steps by itself, and is never resumed
        if stage == "fit" and trainer.max_steps != -1 and not trial:
            # Lightning counts an epoch twice when it resumes such a training from the end of an epoch.
            raise StillroomError(
                "a training with max_steps cannot be resumed exactly",
                expected="max_epochs alone",
                got=f"max_steps={trainer.max_steps}",
                fix="Leave max_steps out; limit_train_batches makes an epoch shorter.",
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._seen = trainer.global_step
        self._began = self._saved = monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clean = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch
        if not clean:
            return
        copies = self._numbered_step(trainer)
        if copies or trainer.strategy.broadcast(self._due(trainer)):
            self._save(trainer, *copies)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor is not None and not trainer.sanity_checking and self.monitor not in trainer.callback_metrics:
            raise StillroomError(
                "the metric that tells the best epoch was not logged in the validation",
                expected=self.monitor,
                got=sorted(trainer.callback_metrics) or "no metrics",
                fix=did_you_mean(self.monitor, trainer.callback_metrics),
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            return  # stopped in the middle: the file written then is the one to go on from
        epoch = trainer.current_epoch
        copies = ["best.ckpt"] if self._improved(trainer) else []
        copies += self._numbered_step(trainer)
        if self.every_n_epochs is not None and (epoch + 1) % self.every_n_epochs == 0:
            copies.append(f"epoch-{epoch + 1}.ckpt")
        self._save(trainer, *copies)

    def _due(self, trainer: Trainer) -> bool:
        return trainer.received_sigterm or trainer.should_stop or monotonic() - self._saved >= self.seconds

    def _numbered_step(self, trainer: Trainer) -> list[str]:
        """The name of the file to keep, if a multiple of ``every_n_steps`` has been reached since the last question."""
        before, self._seen = self._seen, trainer.global_step
        every = self.every_n_steps
        return [f"step-{self._seen}.ckpt"] if every is not None and self._seen // every > before // every else []

    def _improved(self, trainer: Trainer) -> bool:
        """Notes the epoch as the best one if it is."""
        value = float(trainer.callback_metrics.get(self.monitor or "", math.nan))
        best = value > (-math.inf if self.best_value is None else self.best_value)
        if best:
            self.best_value, self.best_epoch = value, trainer.current_epoch
        return best

    def _save(self, trainer: Trainer, *copies: str) -> None:
        """The copies come first: whoever finds ``last.ckpt`` then finds the best file that it speaks of."""
        written = self.folder / "last.ckpt.part"
        trainer.save_checkpoint(written, weights_only=False)
        if trainer.is_global_zero:
            _seal(written)
            for name in copies:
                Path(shutil.copyfile(written, self.folder / f"{name}.part")).replace(self.folder / name)
            written.replace(self.folder / "last.ckpt")
            self._drop_oldest()
        self._saved = monotonic()

    def _drop_oldest(self) -> None:
        numbered = [path for path in self.folder.glob("*-*.ckpt") if _NUMBERED.fullmatch(path.name)]
        if self.keep is not None:
            for path in sorted(numbered, key=lambda path: path.stat().st_mtime_ns)[: -self.keep]:
                path.unlink()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a file that ``Checkpoints`` wrote, tensors on the CPU, after checking that not a bit of it has changed.

    Raises:
        StillroomError: it is absent, cut short, changed, or written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise StillroomError("there is no such checkpoint", where=str(path))
    with path.open("rb") as file:
        expected, got = _digest(file, path.stat().st_size - _DIGITS), file.read()
    if got != expected:
        raise StillroomError(
            "the checkpoint is damaged, cut short, or not one of stillroom's",
            where=str(path),
            expected=f"its SHA-256 at its end, {expected[:8].decode()}...",
            got=f"{got[:8]!r}...",
            fix="Use another file of that folder.",
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise StillroomError("the checkpoint holds more than tensors and plain values", where=str(path)) from error


def _seal(path: Path) -> None:
    """Puts the file's SHA-256 at its end, as the comment that a zip archive may have and ``torch.load`` ignores."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # an archive without comment ends with the comment's length, 0
        file.write(_DIGITS.to_bytes(2, "little"))
        size = file.tell()
        file.seek(0)
        file.write(_digest(file, size))
        file.flush()
        os.fsync(file.fileno())


def _digest(file: BinaryIO, size: int) -> bytes:
    """Of the next ``size`` bytes; the file stands behind them afterwards."""
    digest = sha256()
    for start in range(0, size, 1 << 20):
        digest.update(file.read(min(1 << 20, size - start)))
    return digest.hexdigest().encode()
