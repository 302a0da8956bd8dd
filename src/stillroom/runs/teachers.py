"""Where a recipe's teacher comes from: trained once and kept, a run, a checkpoint, or a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from stillroom.algorithms import Task, as_task, split
from stillroom.data import DataModule
from stillroom.errors import StillroomError, did_you_mean
from stillroom.models import load_weights
from stillroom.recipes import shipped
from stillroom.reports import Score, TeacherFacts, read_run
from stillroom.runs.build import spec
from stillroom.runs.check import answer, same_classes
from stillroom.runs.evaluate import Evaluation, evaluate
from stillroom.runs.folder import RUNS, is_finished
from stillroom.runs.job import Trained
from stillroom.runs.load import load
from stillroom.runs.overrides import HOMES
from stillroom.runs.recipe import Recipe, read_recipe


def trained_teacher(recipe: Recipe, data: DataModule, *, train: Callable[[Recipe, Path], object]) -> Trained | None:
    """The recipe's teacher, trained if need be, evaluated and found better than chance.

    Args:
        recipe: whose teacher is wanted.
        data: on whose validation set it is evaluated.
        train: trains a recipe in a folder, or resumes it there.

    Returns:
        None for a recipe without a teacher.

    Raises:
        StillroomError: it cannot be found, has other classes than the data, or is no better than chance.
    """
    given = recipe.teacher
    if given is None:
        return None
    check = isinstance(given, str) or bool(given["check"])
    if isinstance(given, str):
        network, folder = _named(given, train)
    elif given["weights"] is not None:
        network, folder = _weighted(given), None
    else:
        network, folder = _kept(recipe.teacher_recipe(), train)
    return assessed(network, data, task=recipe.make_task(), folder=folder, check=check)


def assessed(
    network: nn.Module, data: DataModule, *, task: str | nn.Module, folder: Path | None = None, check: bool = True
) -> Trained:
    """A teacher with what it reaches on the validation and the test set.

    Raises:
        StillroomError: it has other classes than the data; with ``check``, it is no better than chance.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    aim = as_task(task)
    _check_classes(network, data, aim, device)
    validation = evaluate(network, data.val_dataloader(), task=aim, device=device)
    if check and validation is not None and not validation.beats_chance:
        raise StillroomError(
            "the teacher is no better than chance on the validation set",
            where="teacher",
            expected=f"an {aim.metric} above {100 * validation.chance:.1f} % ({aim.chance})",
            got=f"{100 * validation.accuracy:.1f} % of {validation.count} samples",
            fix="Check its weights and the data's normalisation; a recipe's teacher.check=false goes on all the same.",
        )
    test = None if data.sources.test is None else evaluate(network, data.test_dataloader(), task=aim, device=device)
    facts = TeacherFacts(
        folder=None if folder is None else str(folder), validation=_score(validation, folder), test=_score(test, folder)
    )
    return Trained(network=network, facts=facts, folder=folder)


def _score(found: Evaluation | None, folder: Path | None) -> Score | None:
    epoch = read_run(folder).epochs if folder is not None and is_finished(folder) else 0
    return None if found is None else Score(epoch=epoch, accuracy=found.accuracy, loss=found.loss)


def _check_classes(network: nn.Module, data: DataModule, task: Task, device: torch.device) -> None:
    inputs, context = split(move_data_to_device(data.sample(2), device))
    with torch.no_grad():
        output = answer(network.eval(), inputs, "teacher")
    if task.labelled(inputs, context):
        fix = "Use a teacher of these classes, or map its classes in Python: kd.Teacher(network, classes=[...])."
        same_classes(task, network, output, data, "teacher", fix=fix)


def _weighted(section: Any) -> nn.Module:
    model = spec("teacher.model", section.get("model"), home=HOMES["model"]).make()
    try:
        load_weights(model, section["weights"])
    except StillroomError as error:
        raise _of(error, "teacher.weights") from None
    return cast("nn.Module", model)


def _named(given: str, train: Callable[[Recipe, Path], object]) -> tuple[nn.Module, Path | None]:
    path = Path(given)
    if path.is_dir() or path.suffix in (".ckpt", ".safetensors", ".pt", ".pth"):
        try:
            return load(path), path if path.is_dir() else None
        except StillroomError as error:
            raise _of(error, "teacher") from None
    if path.suffix in (".yaml", ".yml") or given in shipped():
        return _kept(read_recipe(given), train)
    raise StillroomError(
        f"there is no teacher {given!r}",
        where="teacher",
        expected="a recipe, a run folder, a checkpoint or a file of weights",
        fix=did_you_mean(given, shipped()),
    )


def _of(error: StillroomError, key: str) -> StillroomError:
    """The error about a file, with the key that named the file."""
    where = f"{key}: {error.where}"
    return StillroomError(error.problem, where=where, expected=error.expected, got=error.got, fix=error.fix)


def _kept(recipe: Recipe, train: Callable[[Recipe, Path], object]) -> tuple[nn.Module, Path]:
    """Trained once under ``runs/teachers/<recipe>-<hash>`` and found again there, by any recipe that would train it."""
    home, fingerprint = RUNS / "teachers", recipe.fingerprint()
    folder = next(iter(sorted(home.glob(f"*-{fingerprint}"))), home / f"{recipe.name}-{fingerprint}")
    if not is_finished(folder):
        train(recipe, folder)
    return load(folder), folder
