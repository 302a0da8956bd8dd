"""Door 3: from a recipe to a run folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from stillroom.algorithms import Algorithm, Offline
from stillroom.data import DataModule
from stillroom.errors import StillroomError
from stillroom.runs.check import check
from stillroom.runs.fit import fit, rehearse
from stillroom.runs.folder import is_finished, last_checkpoint, new_folder, read_config
from stillroom.runs.job import Job, Role
from stillroom.runs.load import find_source
from stillroom.runs.overrides import overridden
from stillroom.runs.recipe import Recipe, checked
from stillroom.runs.run import Run
from stillroom.runs.teachers import Training, trained_teachers

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
    return train_in(folder, recipe, role_of(recipe))


def resume(source: str | Path, overrides: list[str] | None = None) -> Run:
    """Go on with a stopped run, exactly as if it had not been stopped.

    Args:
        source: a run folder, or a checkpoint in it. A folder without a checkpoint starts again.
        overrides: ``key=value`` words that leave what is learned as it is: ``trainer....``, the place of the data.

    Raises:
        StillroomError: it is no run folder, has ended already, or an override would change what is learned.
    """
    path = Path(source)
    is_file = path.suffix == ".ckpt"
    folder = find_source(path).folder if is_file else path
    for word in overrides or []:
        if not word.startswith(RESUMABLE):
            raise StillroomError(
                "this cannot be changed on the way",
                where=f"-o {word}",
                expected="trainer.... , data.root or data.num_workers",
                fix="Start a new run for anything else.",
            )
    config = stopped(folder)
    if "seeds" in config:
        raise StillroomError("this is a comparison", where=str(folder), fix="Resume it with: stillroom compare -r.")
    recipe = checked(overridden(config, overrides or []), name=folder.name)
    return train_in(folder, recipe, role_of(recipe), checkpoint=path if is_file else last_checkpoint(folder))


def stopped(folder: Path) -> dict[str, Any]:
    """The configuration of a run, or of a comparison, to go on with.

    Raises:
        StillroomError: there is none, it has ended, or it was made of objects.
    """
    config = read_config(folder)
    if not isinstance(config.get("student"), dict) or "class_path" not in config["student"]:
        raise StillroomError(
            "what was made of objects cannot be resumed from the command line",
            where=str(folder),
            fix="Call distill() or compare() with the same arguments and resume=True.",
        )
    if is_finished(folder):
        told = (folder / "report.html").is_file()
        fix = "See its report.html." if told else f"Write its report: stillroom report {folder}"
        raise StillroomError("this run has ended already", where=str(folder), fix=fix)
    return config


def train_in(folder: Path, recipe: Recipe, role: Role, *, checkpoint: Path | None = None) -> Run:
    """Train in this folder, from a checkpoint or from the start, and before that the teacher if it is not trained."""
    job = make_job(recipe, make_data(recipe), folder, role)
    check(job)  # rather now than after hours of training the teacher
    teachers = trained_teachers(recipe, job.data, training_for(job)) if recipe.distils else {}
    return fit(replace(job, teachers=teachers), checkpoint=checkpoint)


def training_for(pupil: Job) -> Training:
    """How the teachers of this job are trained where they are not yet.

    First networks that have learned nothing show that they can teach: a site or a shape that is wrong does not depend
    on what a teacher knows, and is better found now than after hours.
    """
    return Training(check=_check_teacher, rehearse=partial(rehearse, pupil), train=_train_teacher)


def _check_teacher(recipe: Recipe, folder: Path) -> None:
    check(make_job(recipe, make_data(recipe), folder, "teacher"))


def _train_teacher(recipe: Recipe, folder: Path) -> None:
    """Where it is kept, going on with one that was stopped."""
    train_in(folder, recipe, "teacher", checkpoint=last_checkpoint(folder))


def make_data(recipe: Recipe) -> DataModule:
    """The recipe's data module.

    Raises:
        StillroomError: what it names is no data module of stillroom's kind.
    """
    data = recipe.data.make()
    if not isinstance(data, DataModule):
        raise StillroomError("this is no data module", where="data", got=recipe.data.class_path)
    return data


def make_job(recipe: Recipe, data: DataModule, folder: Path, role: Role) -> Job:
    """The recipe's parts as objects, without the teacher; the student's weights follow from the seed alone."""
    torch.manual_seed(recipe.seed)
    student = cast("nn.Module", recipe.student.make())
    # The models of the algorithm draw their weights after the student, so that they differ from it.
    made = None if recipe.algorithm is None else recipe.algorithm.maker()
    kind = Offline if recipe.algorithm is None else cast("type[Algorithm]", recipe.algorithm.target)
    return Job(
        name=recipe.name,
        role=role,
        folder=folder,
        config=recipe.plain(),
        student=student,
        class_path=recipe.student.class_path,
        init_args=recipe.student.init_args,
        dict_kwargs=recipe.student.dict_kwargs,
        data=data,
        data_plain=recipe.data.plain(),
        settings=recipe.trainer,
        optimizer=recipe.optimizer.make,
        terms=recipe.make_terms(),
        deliveries=recipe.make_deliveries(),
        algorithm=made or Offline,
        teachers_for=kind.teachers_for,
        inherit=recipe.inherit,
        task=recipe.make_task(),
        task_weight=recipe.make_task_weight(),
        scheduler=None if recipe.scheduler is None else recipe.scheduler.make,
        scheduler_interval=recipe.scheduler_interval,
        seed=recipe.seed,
    )


def role_of(recipe: Recipe) -> Role:
    return "distilled" if recipe.distils else "alone"
