"""The ``trainer`` section of a recipe: the keys of Lightning's Trainer that a distillation needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stillroom.errors import StillroomError

CHECKPOINTS = ("checkpoint_every", "checkpoint_steps", "checkpoint_keep")
COUNTS = ("max_epochs", "num_nodes", "accumulate_grad_batches", "total_batch", *CHECKPOINTS, "log_every")
SIZES = ("gradient_clip_val", "limit_train_batches")


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """How long, on what, how precisely.

    Args:
        max_epochs: epochs to train.
        accelerator: ``auto``, ``cpu``, ``gpu``, ``mps`` ...
        devices: how many, ``auto`` for all, or a list of indices. Every device gets batches of the data's
            ``batch_size``, so the joint batch grows with their number while the learning rate stays as given.
        num_nodes: machines.
        strategy: of several devices; ``auto`` is DDP.
        precision: ``32-true``, ``16-mixed``, ``bf16-mixed`` ...
        accumulate_grad_batches: batches for one optimizer step.
        total_batch: samples of one optimizer step on all devices together, whatever their number, so that the learning
            rate may stay as given: as many batches are accumulated as that takes. None: no rule.
        gradient_clip_val: largest norm of the gradient; None does not clip.
        limit_train_batches: train on so many batches of each epoch (whole number) or that share of them.
        limit_val_batches: the same for validation.
        deterministic: refuse operations whose result may differ from run to run.
        checkpoint_seconds: least time between two checkpoints within an epoch.
        checkpoint_every: keep a checkpoint of every so many epochs as well; None keeps the last and the best.
        checkpoint_steps: keep one of every so many optimizer steps as well, ``step-<k>.ckpt``.
        checkpoint_keep: of these numbered checkpoints keep the newest so many; None: all.
        log_every: steps that one row of metrics.csv stands for.
        progress: show a progress bar on a terminal, and a line an epoch elsewhere.
        check: refuse, before training, terms that do not reach the student; `stillroom check` sees more than that.
    """

    max_epochs: int
    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    accumulate_grad_batches: int = 1
    total_batch: int | None = None
    gradient_clip_val: float | None = None
    limit_train_batches: int | float = 1.0
    limit_val_batches: int | float = 1.0
    deterministic: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_every: int | None = None
    checkpoint_steps: int | None = None
    checkpoint_keep: int | None = None
    log_every: int = 50
    progress: bool = True
    check: bool = True

    def __post_init__(self) -> None:
        for name in (*COUNTS, *SIZES):
            value = getattr(self, name)
            if value is not None and (value < 1 if name in COUNTS else value <= 0):
                expected = "1 or more" if name in COUNTS else "more than 0"
                raise StillroomError("this is out of range", where=name, expected=expected, got=value)

    def accumulated(self, *, batch_size: int, processes: int) -> int:
        """Batches of each process for one optimizer step.

        Raises:
            StillroomError: ``total_batch`` is no multiple of what the processes see at once, or stands beside
                ``accumulate_grad_batches``.
        """
        if self.total_batch is None:
            return self.accumulate_grad_batches
        if self.accumulate_grad_batches != 1:
            raise StillroomError(
                "one of the two decides how many batches make a step",
                where="trainer",
                got=f"total_batch={self.total_batch}, accumulate_grad_batches={self.accumulate_grad_batches}",
            )
        rounds, rest = divmod(self.total_batch, batch_size * processes)
        if rest or not rounds:
            raise StillroomError(
                "the total batch cannot be made of whole batches",
                where="trainer.total_batch",
                expected=f"a multiple of {batch_size * processes} (batch_size {batch_size} in {processes} process(es))",
                got=self.total_batch,
                fix="Choose another data.batch_size.",
            )
        return rounds

    def lightning(self) -> dict[str, Any]:
        """The keywords of Lightning's Trainer; the others are for our own callbacks."""
        ours = ("checkpoint_seconds", *CHECKPOINTS, "log_every", "progress", "check", "total_batch")
        return {key: value for key, value in asdict(self).items() if key not in ours}
