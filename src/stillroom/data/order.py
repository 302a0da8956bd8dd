"""The order of samples, as a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from stillroom.data.draws import draw_key
from stillroom.errors import StillroomError


class EpochBatches(Sampler[list[tuple[int, int, int]]]):
    """Batches of (epoch, index, batch) for ``DataLoader(batch_sampler=...)``; ``batch`` is its place in the epoch.

    They tell a worker the epoch, also one that lives through many. With several processes each takes every
    ``world``-th sample of a joint order, so that the n-th batches of all ranks together are the n-th batch that one
    process with a ``world`` times larger batch size would see.

    Training (``shuffle=True``): a permutation drawn from (seed, epoch). All ranks get the same number of samples; at
    most ``world - 1`` are left out, others in each epoch. A last batch of one sample joins the batch before it, since
    BatchNorm refuses a batch of one; nothing else is dropped.

    Evaluation (``shuffle=False``): in the order of the set, each sample once, on one rank; nothing is repeated to make
    the ranks equal.

    Args:
        count: how many samples the set has.
        batch_size: samples per batch and process.
        seed: of the permutations.
        rank: this process, from 0.
        world: how many processes share the set.
        shuffle: a training or an evaluation order.

    Raises:
        StillroomError: a number is out of range, or there are too few samples.
    """

    def __init__(
        self, count: int, *, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1, shuffle: bool = True
    ) -> None:
        if batch_size < 1:
            raise StillroomError("a batch holds at least one sample", expected="batch_size >= 1", got=batch_size)
        if not 0 <= rank < world:
            raise StillroomError("no such process", expected=f"rank from 0 to {world - 1}", got=f"rank {rank}")
        if count < (world if shuffle else 1):
            raise StillroomError(
                "there are too few samples", expected="at least one for each process", got=f"{count} for {world}"
            )
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.epoch, self.start = 0, 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """The next iteration gives the batches of this epoch, from batch ``start`` on."""
        self.epoch, self.start = epoch, start

    @property
    def sampler(self) -> EpochBatches:
        """Itself: Lightning tells the epoch to ``batch_sampler.sampler``."""
        return self

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever it starts."""
        return len(self._sizes())

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        # Epoch and start are read here and not at the first batch: a loader makes its iterator early.
        return self._batches(self.epoch, self.start)

    def _batches(self, epoch: int, start: int) -> Iterator[list[tuple[int, int, int]]]:
        for batch, indices in enumerate(self._share(epoch).split(self._sizes())[start:], start):
            yield [(epoch, index, batch) for index in indices.tolist()]

    def _share(self, epoch: int) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.count)[self.rank :: self.world]
        generator = torch.Generator().manual_seed(draw_key(self.seed, epoch))
        shared = self.count - self.count % self.world
        return torch.randperm(self.count, generator=generator)[:shared][self.rank :: self.world]

    def _sizes(self) -> list[int]:
        share = self.count // self.world if self.shuffle else len(range(self.rank, self.count, self.world))
        full, rest = divmod(share, self.batch_size)
        if self.shuffle and rest == 1 and full:
            return [self.batch_size] * (full - 1) + [self.batch_size + 1]
        return [self.batch_size] * full + ([rest] if rest else [])
