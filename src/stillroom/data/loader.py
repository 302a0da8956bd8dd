"""A DataLoader that knows its place in the epoch, so that a resumed training goes on with the very next batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from stillroom.data.order import EpochBatches
from stillroom.data.samples import Samples
from stillroom.errors import StillroomError

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]
"""Makes a batch of samples."""


class Loader(DataLoader[dict[str, Any]]):
    """Loads the batches of an ``EpochBatches``; Lightning saves and restores its position with the checkpoint.

    The same batches come with any number of workers, forked or spawned. Making an iterator leaves the global random
    state alone. In a loop of your own call ``loader.batches.set_epoch(epoch)`` before each epoch.

    Args:
        samples: what is loaded.
        batches: in which order.
        num_workers: processes that load; 0: this one. They stay alive between epochs.
        progress: returns (epoch, batches done in it). It must count what was trained, not what was fetched: workers
            fetch ahead.
        start_method: how workers are started, ``"fork"``, ``"spawn"`` or ``"forkserver"``; None: as the system does.
        collate: makes a batch of samples; None: tensors of one shape are stacked.
    """

    def __init__(
        self,
        samples: Samples,
        batches: EpochBatches,
        *,
        num_workers: int = 0,
        progress: Callable[[], tuple[int, int]] | None = None,
        start_method: str | None = None,
        collate: Collate | None = None,
    ) -> None:
        super().__init__(
            samples,
            batch_sampler=batches,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context=start_method,
            collate_fn=collate,
            generator=torch.Generator(),  # without one, each iter() draws from the global generator
        )
        self.batches, self._progress = batches, progress
        if progress is not None:
            # Workers fetch as soon as an iterator is made, which a resumed Trainer does before it names the epoch.
            batches.set_epoch(progress()[0])

    def state_dict(self) -> dict[str, int]:
        epoch, position = self._progress() if self._progress is not None else (self.batches.epoch, 0)
        return {"epoch": epoch, "position": position, "batches": len(self.batches)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iteration goes on where ``state`` was made.

        Raises:
            StillroomError: the epoch has another number of batches now, so that the position means something else.
        """
        if state["batches"] != len(self.batches):
            raise StillroomError(
                "the training set is not cut into batches as it was when the checkpoint was written",
                expected=f"{state['batches']} batches per epoch",
                got=len(self.batches),
                fix="Resume with the same data, batch size and number of processes.",
            )
        self.batches.set_epoch(state["epoch"], state["position"])


def progress_of(trainer: Trainer) -> tuple[int, int]:
    """The epoch that ``trainer`` is in, or is about to begin, and the batches of it that are done."""
    loop = trainer.fit_loop
    batch, epoch = loop.epoch_loop.batch_progress, cast("Any", loop.epoch_progress.current)
    return epoch.processed, 0 if batch.is_last_batch else batch.current.ready
