"""Whether teachers are still, and see what they were trained on."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import exp
from typing import Any, cast

import torch
from torch import Tensor, nn

from stillroom.diagnosis.findings import Finding
from stillroom.distillers import Distiller, Ensemble, Teacher
from stillroom.distillers.scope import untouched
from stillroom.patching import Patches

SHIFT = 0.3
"""How far the means of a batch may lie from the running ones, in running deviations, as a mean over the channels."""
FACTOR = 1.5
"""By which factor the deviations may differ, as a geometric mean over the channels."""


def networks(teacher: nn.Module) -> list[nn.Module]:
    """The networks inside of a :class:`~stillroom.Teacher` or an ensemble, which show none of their parameters."""
    if isinstance(teacher, Teacher):
        return networks(teacher.network)
    if isinstance(teacher, Ensemble):
        return [network for member in teacher.members for network in networks(member)]
    return [teacher]


def holders(distiller: Distiller) -> list[tuple[str, Teacher]]:
    """The distiller's teachers by name."""
    return [(name, cast("Teacher", teacher)) for name, teacher in distiller.teachers.items()]


@contextmanager
def put_back(distiller: Distiller) -> Generator[None]:
    """Inside teachers are in eval mode; buffers, modes and random state of all models are as before afterwards."""
    with ExitStack() as stack:
        for _, teacher in holders(distiller):
            for network in networks(teacher):
                stack.enter_context(untouched(network))
                network.eval()
        stack.enter_context(untouched(distiller))
        yield


def awake(distiller: Distiller) -> list[Finding]:
    """Teachers of which a part is in train mode: their next forward pass is refused."""
    findings: list[Finding] = []
    for name, teacher in holders(distiller):
        parts = [(path, each) for network in networks(teacher) for path, each in network.named_modules()]
        woken = [path or type(each).__name__ for path, each in parts if each.training]
        if woken:
            seen = f"the teacher is in train mode ({len(woken)} of {len(parts)} modules, the first {woken[0]!r})"
            fix = "Do not call train() on it, or on a module that contains it; call eval()."
            findings.append(Finding("error", name, seen, fix))
    return findings


class Stillness:
    """The buffers of a distiller's teachers as they are now, to be compared with what they are later."""

    def __init__(self, distiller: Distiller) -> None:
        self._before = [
            (name, path, network, buffer.clone())
            for name, teacher in holders(distiller)
            for network in networks(teacher)
            for path, buffer in network.named_buffers()
        ]

    def broken(self) -> list[Finding]:
        """Teachers with buffers that have changed since."""
        moved: dict[str, list[str]] = {}
        for name, path, network, before in self._before:
            if not torch.equal(network.get_buffer(path), before):
                moved.setdefault(name, []).append(path)
        fix = "A teacher must not learn: find what changes them in eval mode, and take it out."
        return [
            Finding("error", name, f"a forward pass moves {len(paths)} of its buffers, the first {paths[0]!r}", fix)
            for name, paths in moved.items()
        ]


@dataclass(frozen=True)
class _Norm:
    path: str
    shift: float
    factor: float


def unlike_training(name: str, teacher: Teacher, inputs: Any) -> list[Finding]:
    """Teachers whose first BatchNorm gets other values than it did in training, by its running statistics.

    Args:
        name: of the teacher.
        teacher: run once.
        inputs: of the student; the teacher's transform is applied.

    Returns:
        Nothing for networks without such a layer, or with one as it is before training.
    """
    findings: list[Finding] = []
    for first in _first_norms(teacher, inputs):
        if first.shift > SHIFT or first.factor > FACTOR:
            seen = (
                f"what reaches its first BatchNorm ({first.path!r}) is unlike what it was trained on: the channels' "
                f"means are {first.shift:.2g} deviations away, and their deviations differ by a factor of "
                f"{first.factor:.2g}"
            )
            fix = "Normalise its input as in its training: in the data, or by a transform of the teacher."
            findings.append(Finding("warning", name, seen, fix))
    return findings


def _first_norms(teacher: Teacher, inputs: Any) -> Iterable[_Norm]:
    firsts: dict[int, _Norm] = {}

    def note(number: int, path: str, module: Any, args: tuple[Any, ...], _: object) -> None:
        if number not in firsts and args and isinstance(args[0], Tensor):
            firsts[number] = _compared(path, module, args[0])

    with Patches() as patches:
        for number, network in enumerate(networks(teacher)):
            for path, module in network.named_modules():
                if _has_learned(module):
                    patches.hook_inputs(module, partial(note, number, path))
        teacher(inputs)
    return firsts.values()


def _has_learned(module: nn.Module) -> bool:
    """Whether it has running statistics that are not those of an untrained layer."""
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        return False
    return bool(mean.any()) or bool((variance != 1).any())


def _compared(path: str, module: Any, value: Tensor) -> _Norm:
    channels = value.detach().float().movedim(1, 0).flatten(1)
    running, eps = module.running_var.float(), float(getattr(module, "eps", 1e-5))
    shift = (channels.mean(1) - module.running_mean).abs() / (running + eps).sqrt()
    factor = ((channels.var(1, correction=0) + eps) / (running + eps)).log().abs() / 2
    return _Norm(path, float(shift.mean()), exp(float(factor.mean())))
