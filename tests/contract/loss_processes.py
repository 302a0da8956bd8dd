"""Every loss at once in two processes, as DistributedDataParallel trains, and in one."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from loss_runs import run
from loss_samples import Sample, Tree, leaves
from loss_subjects import Subject, subjects
from torch import Tensor, distributed, multiprocessing, nn

PROCESSES = 2
ROWS = 4


class Scaled(nn.Module):
    """A student with one weight per element: what it returns is its input, and its gradients tell all of them apart."""

    def __init__(self, like: Tree) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.ones_like(leaf[0]) for leaf in leaves(like))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(x * weight for x, weight in zip(inputs, self.weights, strict=True))


def step(subject: Subject, student: nn.Module, sample: Sample) -> Tensor:
    """One backward; returns the value. Every weight gets a gradient, as DistributedDataParallel waits for all."""
    outputs = student(*leaves(sample.student))
    given = Sample(outputs[0] if isinstance(sample.student, Tensor) else outputs, sample.teacher, sample.context)
    value = run(subject.build(), given)
    (value + sum(0 * output.sum() for output in outputs)).backward()
    return value.detach()


def in_one(subject: Subject) -> list[Tensor]:
    """Value and gradients of the whole batch, or, of a loss that couples samples, the mean over the two halves."""
    sample = subject.draw(n=ROWS)
    student = Scaled(sample.student)
    parts = [sample] if subject.facts.per_sample_mean else [sample.rows(half) for half in halves()]
    value = torch.stack([step(subject, student, part) for part in parts]).mean()
    return [value, *(weight.grad / len(parts) for weight in student.weights)]


def in_two(folder: Path) -> dict[str, list[Tensor]]:
    """The same by subject's name, each process seeing half of the batch; the processes are started once for all."""
    multiprocessing.start_processes(_work, args=(str(folder),), nprocs=PROCESSES, start_method="forkserver")
    return torch.load(folder / "results.pt")


def halves() -> list[slice]:
    size = math.ceil(ROWS / PROCESSES)
    return [slice(rank * size, (rank + 1) * size) for rank in range(PROCESSES)]


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    results = {str(subject): _half(subject, rank) for subject in subjects(first_only=True)}
    if rank == 0:
        torch.save(results, Path(folder, "results.pt"))
    os._exit(0)  # a thread of the process group may not outlive the interpreter: see distil_processes.py


def _half(subject: Subject, rank: int) -> list[Tensor]:
    sample = subject.draw(n=ROWS)
    student = Scaled(sample.student)
    value = step(subject, nn.parallel.DistributedDataParallel(student), sample.rows(halves()[rank]))
    distributed.all_reduce(value)
    return [value / PROCESSES, *(weight.grad for weight in student.weights)]
