"""How good a teacher is, before it teaches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from stillroom.algorithms import Task, as_task, split
from stillroom.data import DataModule
from stillroom.errors import StillroomError
from stillroom.recorders import expect_model
from stillroom.reports import TeacherFacts, read_run
from stillroom.runs.check import answer, same_classes
from stillroom.runs.evaluate import evaluate, score
from stillroom.runs.folder import is_finished
from stillroom.runs.job import Trained
from stillroom.runs.untrained import untrained


def assessed(
    network: nn.Module,
    data: DataModule,
    *,
    task: str | nn.Module,
    folder: Path | None = None,
    check: bool = True,
    where: str = "teacher",
    unchecked: str = "",
) -> Trained:
    """A teacher with what it reaches on the validation and the test set.

    Args:
        network: the teacher.
        data: what it is measured on.
        task: by which it is measured.
        folder: its run folder, where it has one.
        check: whether it must be better than chance.
        where: its name, for messages.
        unchecked: what to say for ``check`` to be false; nothing where that cannot be.

    Raises:
        StillroomError: it has other classes than the data; with ``check``, it is no better than chance.
    """
    expect_model(network, where)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    aim = as_task(task)
    _check_classes(network, data, aim, device, where)
    validation = evaluate(network, data.val_dataloader(), task=aim, device=device)
    if check and validation is not None and aim.beats_untrained:
        validation = replace(validation, chance=untrained(network, data, task=aim, device=device))
    if check and validation is not None and not validation.beats_chance:
        all_the_same = f"; {unchecked} goes on all the same" if unchecked else ""
        raise StillroomError(
            "the teacher is no better than chance on the validation set",
            where=where,
            expected=f"an {aim.metric} above {100 * validation.chance:.1f} % ({aim.chance})",
            got=f"{100 * validation.accuracy:.1f} % of {validation.count} samples",
            fix=f"Check its weights and the data's normalisation{all_the_same}.",
        )
    test = None if data.sources.test is None else evaluate(network, data.test_dataloader(), task=aim, device=device)
    epoch = read_run(folder).epochs if folder is not None and is_finished(folder) else 0
    facts = TeacherFacts(
        folder=None if folder is None else str(folder),
        validation=score(validation, epoch=epoch, names=data.sources.class_names),
        test=score(test, epoch=epoch, names=data.sources.class_names),
    )
    return Trained(network=network, facts=facts, folder=folder)


def _check_classes(network: nn.Module, data: DataModule, task: Task, device: torch.device, where: str) -> None:
    inputs, context = split(move_data_to_device(data.sample(2), device))
    with torch.no_grad():
        output = answer(network.eval(), inputs, where)
    if task.labelled(inputs, context):
        fix = "Use a teacher of these classes, or say which of its classes are the student's: classes: [3, 5, 8]."
        same_classes(task, network, output, data, where, fix=fix)
