"""Steps of CRD in two processes, each with half of the batch, and in one."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing, nn

from stillroom.losses import CRD

PROCESSES = 2
ROWS = 4
STEPS = 3
SAMPLES = 12


class Even(CRD):
    """Draws nothing by chance: samples of the next class, in their order. The id of a sample says its class."""

    def draw(self, labels: Tensor) -> Tensor:
        return (labels.unsqueeze(1) + 1 + 3 * torch.arange(self.negatives)) % self.samples


def make() -> CRD:
    torch.manual_seed(0)
    return Even(3, 2, SAMPLES, dim=4, negatives=5).double()


def train(loss: CRD, model: nn.Module, rows: slice) -> dict[str, Tensor]:
    """The state after the last step, of batches in which one sample stands twice, once in each half."""
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    draws = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        student, teacher = (torch.randn(ROWS, width, generator=draws, dtype=torch.float64) for width in (3, 2))
        index = torch.randperm(SAMPLES, generator=draws)[:ROWS]
        index[-1] = index[0]
        optimizer.zero_grad()
        model(student[rows], teacher[rows], index=index[rows], labels=index[rows] % 3).backward()
        optimizer.step()
    return dict(loss.state_dict())


def in_one() -> dict[str, Tensor]:
    loss = make()
    return train(loss, loss, slice(None))


def in_two(folder: Path) -> list[dict[str, Tensor]]:
    multiprocessing.start_processes(_work, args=(str(folder),), nprocs=PROCESSES, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    loss, half = make(), ROWS // PROCESSES
    model = nn.parallel.DistributedDataParallel(loss, broadcast_buffers=False)
    torch.save(train(loss, model, slice(rank * half, (rank + 1) * half)), Path(folder, f"{rank}.pt"))
    os._exit(0)  # a thread of the process group may not outlive the interpreter
