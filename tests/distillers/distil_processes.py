"""One step of a distiller in two processes, as DistributedDataParallel trains, and in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from distil_nets import Mlp, labels, vectors
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn import functional as F

from stillroom import Distiller, Term
from stillroom.losses import L2, KLDivergence

PROCESSES = 2
ROWS = 6
STEPS = 3

Train = Callable[[Distiller, nn.Module, slice], dict[str, Tensor]]
"""Of a distiller, the module to call for it, and the rows of the batch to call it with."""


def make() -> Distiller:
    torch.manual_seed(0)
    terms = {
        "kl": Term(KLDivergence(tau=4.0), weight=0.9),
        "hint": Term(L2(), student="body", teacher="body", connector="auto"),
    }
    distiller = Distiller(Mlp(4).double(), Mlp(7).double(), terms=terms)
    distiller.prepare(vectors().double())
    return distiller


def train(distiller: Distiller, model: nn.Module, rows: slice) -> dict[str, Tensor]:
    """Gradients of the first step, and parameters after the last."""
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1, momentum=0.9)
    results: dict[str, Tensor] = {}
    for step in range(STEPS):
        x, y = vectors(ROWS)[rows].double() + step, labels(ROWS)[rows]
        optimizer.zero_grad()
        out = model(x, labels=y)
        (F.cross_entropy(out.output, y) + out.loss).backward()
        if step == 0:
            results |= {f"gradient of {name}": p.grad.clone() for name, p in distiller.named_parameters()}
        optimizer.step()
    return results | {name: parameter.detach() for name, parameter in distiller.named_parameters()}


def in_one(maker: Callable[[], Distiller] = make, trained: Train = train) -> dict[str, Tensor]:
    distiller = maker()
    return trained(distiller, distiller, slice(None))


def in_two(folder: Path, maker: Callable[[], Distiller] = make, trained: Train = train) -> list[dict[str, Tensor]]:
    """What each process got; each saw half of the batch."""
    multiprocessing.start_processes(
        _work, args=(str(folder), maker, trained), nprocs=PROCESSES, start_method="forkserver"
    )
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


def _work(rank: int, folder: str, maker: Callable[[], Distiller], trained: Train) -> None:
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    distiller, half = maker(), ROWS // PROCESSES
    results = trained(distiller, nn.parallel.DistributedDataParallel(distiller), slice(rank * half, (rank + 1) * half))
    torch.save(results, Path(folder, f"{rank}.pt"))
    # DistributedDataParallel keeps its process group, and that its threads, also when both are destroyed. A thread that
    # is still letting go of a tensor when the interpreter is gone aborts the process: so Python is not taken down.
    os._exit(0)
