"""Door 3: from a recipe to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from stillroom.data import DataModule
from stillroom.errors import StillroomError
from stillroom.runs.fit import fit
from stillroom.runs.folder import is_finished, new_folder, read_config
from stillroom.runs.job import Job, Role, Trained
from stillroom.runs.overrides import overridden
from stillroom.runs.recipe import Recipe, checked
from stillroom.runs.run import Run
from stillroom.runs.teachers import trained_teacher

RESUMABLE = ("trainer.", "data.root", "data.num_workers", "data.init_args.root", "data.init_args.num_workers")


def train(recipe: Recipe, *, out: str | Path | None = None) -> Run:
    """Train a recipe's student, and before that its teacher where it has none yet.

    Args:
        recipe: what to train.
        out: the run folder; None for ``runs/<recipe>-<time>``.

    Raises:
        StillroomError: something in the recipe does not fit, or ``out`` exists.
    """
    folder = new_folder(recipe.name, None if out is None else Path(out))
    data = make_data(recipe)
    teacher = trained_teacher(recipe, data, train=train_teacher)
    return fit(make_job(recipe, data, folder, teacher=teacher))


def resume(source: str | Path, overrides: list[str] | None = None) -> Run:
    """Go on with a stopped run, exactly as if it had not been stopped.

    Args:
        source: a run folder, or a checkpoint in it. A folder without a checkpoint starts again.
        overrides: ``key=value`` words that leave what is learned as it is: ``trainer....``, the place of the data.

    Raises:
        StillroomError: it is no run folder, has ended already, or an override would change what is learned.
    """
    path = Path(source)
    folder = path.parent.parent if path.suffix == ".ckpt" else path
    for word in overrides or []:
        if not word.startswith(RESUMABLE):
            raise StillroomError(
                "this cannot be changed on the way",
                where=f"-o {word}",
                expected="trainer.... , data.root or data.num_workers",
                fix="Start a new run for anything else.",
            )
    config = read_config(folder)
    if not isinstance(config.get("student"), dict) or "class_path" not in config["student"]:
        raise StillroomError(
            "a run of objects cannot be resumed from the command line",
            where=str(folder),
            fix="Call distill() with the same arguments and resume=True.",
        )
    recipe = checked(overridden(config, overrides or []), name=folder.name)
    if is_finished(folder):
        raise StillroomError("this run has ended already", where=str(folder), fix="See its report.html.")
    return resume_recipe(recipe, folder, role=role_of(recipe))


def resume_recipe(recipe: Recipe, folder: Path, *, role: Role) -> Run:
    """Train in this folder from its last checkpoint, or from the start where there is none."""
    data = make_data(recipe)
    teacher = trained_teacher(recipe, data, train=train_teacher)
    return fit(make_job(recipe, data, folder, teacher=teacher, role=role), resume=True)


def train_teacher(recipe: Recipe, folder: Path) -> None:
    """Train a teacher where it is kept, going on with one that was stopped."""
    resume_recipe(recipe, folder, role="teacher")


def make_data(recipe: Recipe) -> DataModule:
    """The recipe's data module.

    Raises:
        StillroomError: what it names is no data module of stillroom's kind.
    """
    data = recipe.data.make()
    if not isinstance(data, DataModule):
        raise StillroomError("this is no data module", where="data", got=recipe.data.class_path)
    return data


def make_job(
    recipe: Recipe, data: DataModule, folder: Path, *, teacher: Trained | None = None, role: Role | None = None
) -> Job:
    """The recipe's parts as objects; the student's weights follow from the seed alone."""
    torch.manual_seed(recipe.seed)
    student = cast("nn.Module", recipe.student.make())
    return Job(
        name=recipe.name,
        role=role_of(recipe) if role is None else role,
        folder=folder,
        config=recipe.plain(),
        student=student,
        class_path=recipe.student.class_path,
        init_args=recipe.student.init_args,
        data=data,
        data_plain=recipe.data.plain(),
        settings=recipe.trainer,
        optimizer=recipe.optimizer.make,
        teacher=teacher,
        terms=recipe.make_terms(),
        task=recipe.make_task(),
        task_weight=recipe.task_weight,
        scheduler=None if recipe.scheduler is None else recipe.scheduler.make,
        scheduler_interval=recipe.scheduler_interval,
        seed=recipe.seed,
    )


def role_of(recipe: Recipe) -> Role:
    return "distilled" if recipe.terms else "alone"
