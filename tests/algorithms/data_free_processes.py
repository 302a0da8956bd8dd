"""A step of a generator in two processes, as DDP trains, and in one."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from data_free_parts import make
from torch import Tensor, distributed, multiprocessing

from stillroom.algorithms import DFAD
from stillroom.algorithms.data_free import DataFree

PROCESSES = 2


def algorithm(seed: int) -> DataFree:
    """One whose generator follows from the seed; its networks do not."""
    made = make(DFAD, generator_scheduler=None)
    made.double()
    torch.manual_seed(seed)
    for parameter in made.generation.generator.parameters():
        torch.nn.init.normal_(parameter)
    return made


def loss_of(made: DataFree, rank: int) -> Tensor:
    """On the images of one process."""
    numbers = torch.randn(4, 5, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)
    return made.objective(made.generation.generator(numbers))


def in_one() -> dict[str, Tensor]:
    """By the mean of the two losses, from the first process's generator."""
    made = algorithm(0)
    made.generation.start(torch.device("cpu"), torch.float64)
    made.generation.step((loss_of(made, 0) + loss_of(made, 1)) / 2)
    return {name: value.detach() for name, value in made.generation.generator.named_parameters()}


def in_two(folder: Path) -> list[dict[str, Tensor]]:
    multiprocessing.start_processes(_work, args=(str(folder),), nprocs=PROCESSES, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    made = algorithm(rank)
    made.generation.start(torch.device("cpu"), torch.float64)
    made.generation.step(loss_of(made, rank))
    found = {name: value.detach() for name, value in made.generation.generator.named_parameters()}
    torch.save(found, Path(folder, f"{rank}.pt"))
    os._exit(0)  # a thread of the process group could abort Python on its way down
