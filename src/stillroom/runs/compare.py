"""The proof: the same student alone and distilled, same budget, several seeds, one teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from stillroom.algorithms import Algorithm, DataFree, as_task
from stillroom.diagnosis import networks
from stillroom.errors import StillroomError
from stillroom.files import read_text, write_text
from stillroom.reports import (
    Cost,
    RunResults,
    Scores,
    compare_runs,
    read_run,
    write,
    write_report,
)
from stillroom.runs.check import check
from stillroom.runs.conclude import measured
from stillroom.runs.fit import InterruptedRun, advice, fit, rehearse
from stillroom.runs.folder import is_finished, is_first_process, last_checkpoint, new_folder, write_config
from stillroom.runs.job import Job, Trained
from stillroom.runs.machine import hardware, now, versions
from stillroom.runs.recipe import Recipe, checked
from stillroom.runs.run import Comparison
from stillroom.runs.teachers import trained_teachers
from stillroom.runs.train import make_data, make_job, stopped, training_for

StudentRole = Literal["alone", "distilled"]
ROLES: Sequence[StudentRole] = ("alone", "distilled")


def compare_recipe(recipe: Recipe, *, seeds: int = 3, out: str | Path | None = None) -> Comparison:
    """Train a recipe's student alone and distilled, each ``seeds`` times, against one teacher.

    Args:
        recipe: with a teacher or at least one term; its seed is the first of the seeds.
        seeds: how many, at least 1.
        out: the comparison's folder; None for ``runs/<recipe>-<time>``.

    Raises:
        StillroomError: nothing to compare, or as of :func:`stillroom.runs.train`.
    """
    folder = new_folder(recipe.name, None if out is None else Path(out))
    return _recipe_in(folder, recipe, seeds)


def resume_comparison(folder: str | Path) -> Comparison:
    """Go on with a stopped comparison: runs that have ended are kept, the one that was stopped is resumed.

    Raises:
        StillroomError: this is no comparison's folder, or it has ended already.
    """
    config = stopped(Path(folder))
    if "seeds" not in config:
        raise StillroomError("this is no comparison", where=str(folder), fix="Resume a run with: stillroom train -r.")
    seeds = config.pop("seeds")
    return _recipe_in(Path(folder), checked(config, name=Path(folder).name), seeds)


def _recipe_in(folder: Path, recipe: Recipe, seeds: int) -> Comparison:
    expect_comparison(seeds, distils=recipe.distils)
    if recipe.algorithm is not None and issubclass(cast("type[Algorithm]", recipe.algorithm.target), DataFree):
        raise StillroomError(
            "a student alone has no labels to learn from here",
            where="algorithm",
            got=recipe.algorithm.class_path,
            fix="Train it without a comparison: stillroom train.",
        )
    data = make_data(recipe)
    first = make_job(recipe, data, folder, "distilled")
    check(first)  # rather now than after hours of training the teacher
    teachers = trained_teachers(recipe, data, training_for(first))

    def job(role: StudentRole, seed: int, inside: Path) -> Job:
        seeded = recipe.with_seed(seed)
        if role == "alone":
            seeded = seeded.without_teacher()
        return replace(make_job(seeded, data, inside, role), teachers={} if role == "alone" else teachers)

    return compare_jobs(folder, job, teachers, range(recipe.seed, recipe.seed + seeds), config=recipe.plain())


def compare_jobs(
    folder: Path,
    job: Callable[[StudentRole, int, Path], Job],
    teachers: Mapping[str, Trained],
    seeds: Sequence[int],
    *,
    config: dict[str, object],
) -> Comparison:
    """Run every job that has not ended yet, then write the comparison's results and report."""
    first = [job(role, seeds[0], folder / f"{role}-{seeds[0]}") for role in ROLES]
    for either in first:
        rehearse(either)  # rather now than after the first training
    names = [f"{role}-{seed}" for role in ROLES for seed in seeds]
    if is_first_process():
        write_config(folder, {**config, "seeds": len(seeds)})
    records = {name if name == "teacher" else f"teacher-{name}": teacher for name, teacher in teachers.items()}
    for name, teacher in records.items() if is_first_process() else ():
        _teacher_record(folder / name, first[0], teacher)
    for seed in seeds:
        for role in ROLES:
            if not is_finished(folder / f"{role}-{seed}"):
                _fit(folder, job(role, seed, folder / f"{role}-{seed}"))
    results = compare_runs({name: read_run(folder / name) for name in (*records, *names)}, name=first[0].name)
    if is_first_process():
        write(results, folder)
        write_report(folder)
    return Comparison(folder, results)


def _fit(folder: Path, job: Job) -> None:
    try:
        fit(job, checkpoint=last_checkpoint(job.folder))
    except InterruptedRun as stop:
        raise InterruptedRun(advice(job, "compare", folder), stop.signal_number) from None


def expect_comparison(seeds: int, *, distils: bool) -> None:
    """Refuse a comparison that compares nothing.

    Raises:
        StillroomError: nothing is distilled, or there are fewer seeds than 1.
    """
    if not distils:
        raise StillroomError("there is nothing to compare: nothing is distilled", where="terms")
    if seeds < 1:
        raise StillroomError("a comparison needs seeds", where="seeds", expected="at least 1", got=seeds)


def _teacher_record(folder: Path, job: Job, teacher: Trained) -> None:
    """What the comparison shows of the teacher: its own run's results, or what was measured of it here."""
    folder.mkdir(exist_ok=True)
    if teacher.folder is not None and is_finished(teacher.folder):
        for name in ("metrics.csv", "config.yaml"):
            write_text(folder / name, read_text(teacher.folder / name))
        write(replace(read_run(teacher.folder), role="teacher"), folder)  # a student of another run, here a teacher
        return
    held = networks(teacher.network)
    device = next(held[0].parameters()).device
    model = measured(teacher.network, job.data, class_path=None)
    parameters = sum(parameter.numel() for network in held for parameter in network.parameters())
    size = sum(value.nbytes for network in held for value in network.state_dict().values()) / 1e6
    scores = [None if s is None else Scores(last=s, best=s) for s in (teacher.facts.test, teacher.facts.validation)]
    write(
        RunResults(
            name=job.name,
            role="teacher",
            date=now(),
            seed=job.seed,
            epochs=0,
            steps=0,
            seconds=None,
            hardware=hardware(device),
            versions=versions(),
            model=replace(model, parameters=parameters, size_mb=size),
            test=scores[0],
            validation=scores[1],
            teacher={},
            cost=Cost(seconds_per_epoch=None, samples_per_second=None, peak_memory_mb=None),
            best_by="validation",
            metric=as_task(job.task).metric,
        ),
        folder,
    )
