"""What a network would reach that had learned nothing."""

from __future__ import annotations

import copy

import torch
from torch import nn

from stillroom.algorithms import Task
from stillroom.data import DataModule
from stillroom.diagnosis import networks
from stillroom.runs.evaluate import evaluate

SAMPLES, TRIES = 64, 3


def untrained(network: nn.Module, data: DataModule, *, task: Task, device: torch.device) -> float:
    """The metric of the same network with fresh weights, the best of three, on samples spread over the validation set.

    Returns:
        0 where nothing can be measured: there are no targets, or no module knows how to start anew.
    """
    best = 0.0
    for seed in range(TRIES):
        fresh = _forgetful(network, seed)
        if fresh is not None:
            batches = data.spread(SAMPLES, split="validation")
            found = evaluate(fresh.to(device), batches, task=task, device=device, details=False)
            best = max(best, 0.0 if found is None else found.accuracy)
    return best


def _forgetful(network: nn.Module, seed: int) -> nn.Module | None:
    """A copy that starts anew, whose draws move none of anybody else's."""
    fresh = copy.deepcopy(network).cpu()
    modules = [module for one in networks(fresh) for module in one.modules() if hasattr(module, "reset_parameters")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in modules:
            module.reset_parameters()  # pyright: ignore[reportCallIssue]
    return fresh if modules else None
