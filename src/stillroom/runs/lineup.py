"""What there is to say of a recipe's teachers before they teach: what they know, and whether of the same classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from stillroom.algorithms import Classification, Evaluation, Task, logits_of, split
from stillroom.data import DataModule
from stillroom.diagnosis import Finding
from stillroom.distillers import call
from stillroom.distillers.scope import untouched
from stillroom.runs.evaluate import evaluate
from stillroom.runs.load import find_source
from stillroom.runs.teachers import Standing
from stillroom.runs.untrained import untrained

GOOD, GAIN = 0.5, 0.2
"""What a teacher must reach when its classes are renamed, and by how much more than before, to say that they should."""

Batches = Sequence[Mapping[str, Any]]


def measured(
    standing: Standing, student: nn.Module, batches: Batches, task: Task, data: DataModule, device: torch.device
) -> list[Finding]:
    """A trained teacher on validation batches: against chance, the untrained student, and itself with other names.

    Where chance is what the same model reaches untrained, that is measured as a training does it.

    Raises:
        StillroomError: the batches have labels outside of its classes.
    """
    with untouched(standing.network):
        found = evaluate(standing.network.to(device), batches, task=task, device=device)
    with untouched(student):
        own = evaluate(student.to(device), batches, task=task, device=device)
    if found is None or own is None:
        return []
    if standing.check and task.beats_untrained:
        found = replace(found, chance=untrained(standing.network, data, task=task, device=device))
    findings = _against_chance(standing, found, own, task)
    if isinstance(task, Classification) and found.accuracy <= 1 - GAIN:
        findings += renamed(standing, found.accuracy, batches, data, device)
    return findings


def _against_chance(standing: Standing, found: Evaluation, own: Evaluation, task: Task) -> list[Finding]:
    reached = f"{found.metric} {100 * found.accuracy:.1f} % on {found.count} validation samples"
    if not found.beats_chance:
        chance = f"{100 * found.chance:.1f} %" + (f" ({task.chance})" if task.beats_untrained else "")
        seen = f"the teacher is no better than chance: {reached}, against {chance}"
        fix = "Check its weights, its classes and the data's normalisation."
        return [Finding("error" if standing.check else "warning", standing.where, seen, fix)]
    if found.accuracy <= own.accuracy:
        seen = f"the teacher is no better than the untrained student: {reached}, against {100 * own.accuracy:.1f} %"
        return [Finding("warning", standing.where, seen, "Choose a better teacher.")]
    return []


def renamed(
    standing: Standing, accuracy: float, batches: Batches, data: DataModule, device: torch.device
) -> list[Finding]:
    """Whether the teacher would be good if its classes had other names; found on one half, measured on the other."""
    said, labels = _said(standing.network, batches, device)
    classes = int(max(said.max(), labels.max())) + 1
    table = torch.zeros(classes, classes, dtype=torch.long)
    table.index_put_((said[::2], labels[::2]), torch.tensor(1), accumulate=True)
    names = torch.where(table.sum(1) > 0, table.argmax(1), torch.arange(classes))
    better = float((names[said[1::2]] == labels[1::2]).float().mean()) if len(said) > 1 else 0.0
    if better < max(GOOD, accuracy + GAIN):
        return []
    known = data.sources.class_names
    moved = [index for index in range(classes) if table[index].sum() and names[index] != index][:3]
    told = ", ".join(f"{index} where the data says {_called(int(names[index]), known)}" for index in moved)
    seen = (
        f"the teacher's classes stand in another order: {100 * accuracy:.1f} % right, and {100 * better:.1f} % with "
        f"other names (it says {told})"
    )
    order = torch.zeros(classes, dtype=torch.long).scatter_(0, names, torch.arange(classes)).tolist()
    whole = sorted(names.tolist()) == list(range(classes)) and classes <= 20
    fix = f"classes: {order}" if whole else "classes: by_name, or for each class of the data its index there"
    return [Finding("error", standing.where, seen, f"Say it in the teacher's section: {fix}.")]


def order_of_classes(standing: Standing, data: DataModule) -> list[Finding]:
    """The names of the classes in the teacher's run folder against those of the data."""
    names = data.sources.class_names
    known = None if standing.folder is None else find_source(standing.folder).card.extra.get("class_names")
    if names is None or known is None:
        return []
    theirs = [str(name) for name in cast("list[Any]", known)]
    if theirs == names or len(theirs) != len(names):  # another number is refused
        return []
    at = next(index for index, name in enumerate(names) if name != theirs[index])
    seen = f"class {at} is {names[at]!r} in the data, and {theirs[at]!r} for the teacher"
    if sorted(theirs) == sorted(names):
        return [Finding("error", standing.where, seen, "Say it in the teacher's section: classes: by_name.")]
    return [Finding("warning", standing.where, seen, "Make sure that both mean the same by each number.")]


@torch.no_grad()
def _said(network: nn.Module, batches: Batches, device: torch.device) -> tuple[Tensor, Tensor]:
    """What the teacher calls each sample, and its label."""
    said: list[Tensor] = []
    labels: list[Tensor] = []
    with untouched(network):
        for batch in batches:
            inputs, context = split(move_data_to_device(dict(batch), device))
            said.append(logits_of(call(network.eval(), (inputs,))).argmax(1).cpu())
            labels.append(context["labels"].cpu())
    return torch.cat(said), torch.cat(labels)


def _called(index: int, names: list[str] | None) -> str:
    return str(index) if names is None or names[index] == str(index) else f"{index} ({names[index]})"
