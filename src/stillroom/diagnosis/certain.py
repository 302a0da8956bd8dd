"""What is certainly wrong with a distiller, found in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from stillroom.diagnosis.findings import Finding
from stillroom.diagnosis.frozen import Stillness, awake, put_back
from stillroom.diagnosis.judging import out_of_reach
from stillroom.distillers import Distiller
from stillroom.errors import StillroomError


def certain(distiller: Distiller, batch: Mapping[str, Any]) -> list[Finding]:
    """The errors that :func:`~stillroom.diagnosis.examine` would find without going backwards.

    Terms that nothing of the student reaches, teachers that are awake or whose buffers move, and what cannot run.

    Args:
        distiller: prepared; as before afterwards, and so are its teachers.
        batch: ``inputs``, and the keywords of the distiller's call, such as ``labels``; a few samples will do.
    """
    findings = awake(distiller)
    context = {name: value for name, value in batch.items() if name != "inputs"}
    with put_back(distiller), torch.enable_grad():
        still = Stillness(distiller)
        try:
            distilled = distiller(batch["inputs"], **context)
        except StillroomError as error:
            return [*findings, *still.broken(), Finding.of(error)]
        findings += still.broken()
        parameters = [parameter for parameter in distiller.student.parameters() if parameter.requires_grad]
        findings += [
            out_of_reach(f"terms.{name}", distilled.weights[name], loss.item())
            for name, loss in distilled.losses.items()
            if not depends(loss, parameters)
        ]
    return findings


def depends(value: Tensor, parameters: Iterable[Tensor]) -> bool:
    """Whether the graph of a value leads to any of the parameters."""
    wanted = {id(parameter) for parameter in parameters}
    waiting: list[Any] = [value.grad_fn]
    seen: set[Any] = {None}
    while waiting:
        if (node := waiting.pop()) in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in wanted:
            return True
        waiting += [inner for inner, _ in node.next_functions]
    return False
