"""Running a job: one training, from its objects to a finished run folder."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console
from torch import nn

from stillroom.algorithms import Algorithm, as_task
from stillroom.distillers import Distiller, Teacher, inherit
from stillroom.errors import StillroomError
from stillroom.runs.check import check, check_companions, check_terms, dry_batch
from stillroom.runs.checkpoints import Checkpoints, read_checkpoint
from stillroom.runs.conclude import conclude
from stillroom.runs.folder import is_first_process, unless_refused, write_config
from stillroom.runs.history import History
from stillroom.runs.job import Job
from stillroom.runs.progress import ProgressBar
from stillroom.runs.randomness import StepRandomness
from stillroom.runs.run import Run


class InterruptedRun(Exception):  # noqa: N818 - it is no error of anybody's
    """A signal ended the training; its folder holds what it takes to go on.

    Args:
        advice: how to go on.
        signal_number: SIGINT or SIGTERM.
    """

    def __init__(self, advice: str, signal_number: int) -> None:
        super().__init__(f"interrupted; {advice}")
        self.signal_number = signal_number


def fit(job: Job, *, checkpoint: Path | None = None) -> Run:
    """Train, evaluate, and leave a finished run folder behind.

    Args:
        job: what to train; its folder must not hold another run.
        checkpoint: where to go on from; None: from the start.

    Returns:
        The run, with the student's hooks taken off.

    Raises:
        StillroomError: something does not fit together; found before training wherever that is possible.
        InterruptedRun: SIGINT or SIGTERM ended it.
    """
    if checkpoint is not None:
        read_checkpoint(checkpoint)
    algorithm = rehearsed(job)
    distiller, task = algorithm.distiller, algorithm.task
    history = History(job.folder, every=job.settings.log_every, metric=task.metric)
    checkpoints = Checkpoints(
        job.folder,
        seconds=job.settings.checkpoint_seconds,
        monitor=f"val_{task.metric}" if task.labelled(*dry_batch(job)) else None,
        every_n_epochs=job.settings.checkpoint_every,
        every_n_steps=job.settings.checkpoint_steps,
        keep=job.settings.checkpoint_keep,
    )
    interruption = _Interruption()
    try:
        notes = inferred(distiller)
        for note in notes if job.settings.progress and is_first_process() else ():
            Console(stderr=True).print(f"{job.folder.name}: {note}", highlight=False, markup=False, soft_wrap=True)
        with _quiet():
            callbacks = [StepRandomness(job.seed), history, *_progress(job, task.metric), interruption, checkpoints]
            trainer = _trainer(job, distiller, callbacks)
            with unless_refused(job.folder):
                if is_first_process():
                    write_config(job.folder, dict(job.config), notes=notes)
                _train(trainer, algorithm, job, checkpoint, interruption)
    finally:
        distiller.release()
    return conclude(job, algorithm, trainer, history, checkpoints)


def rehearse(job: Job, teachers: Mapping[str, nn.Module] | None = None) -> None:
    """As of :func:`rehearsed`, and ask for the devices, too: what would end the training at its start is found now."""
    distiller = rehearsed(job, teachers).distiller
    try:
        with _quiet():
            _trainer(job, distiller, [])
    finally:
        distiller.release()


def rehearsed(job: Job, teachers: Mapping[str, nn.Module] | None = None) -> Algorithm:
    """What trains the job's student, on the CPU, after a dry batch.

    Args:
        job: what is to be trained.
        teachers: in the place of the job's own.

    Raises:
        StillroomError: something does not fit together.
    """
    distiller = prepared(job, teachers)
    try:
        algorithm = job.algorithm(
            distiller,
            optimizer=job.optimizer,
            scheduler=job.scheduler,
            scheduler_interval=job.scheduler_interval,
            task=as_task(job.task),
            task_weight=job.task_weight,
        )
        check_companions(job, algorithm)
        inputs, context = dry_batch(job)
        algorithm.rehearse({"inputs": inputs, **context})
        check_terms(job, algorithm)
    except BaseException:
        distiller.release()
        raise
    return algorithm


def prepared(job: Job, teachers: Mapping[str, nn.Module] | None = None) -> Distiller:
    """The job's distiller on the CPU, after a dry batch.

    Args:
        job: what is to be trained.
        teachers: in the place of the job's own.

    Raises:
        StillroomError: something does not fit together.
    """
    job.data.seed = job.seed
    check(job)
    torch.manual_seed(job.seed)  # inferred connectors draw their weights
    if teachers is None:
        teachers = {name: trained.network for name, trained in job.teachers.items()}
    _inherit(job, teachers)
    distiller = Distiller(job.student, _with_own(job, teachers), terms=dict(job.terms), deliveries=dict(job.deliveries))
    inputs, context = dry_batch(job)
    try:
        distiller.cpu().prepare(inputs, **context)
    except BaseException:
        distiller.release()
        raise
    return distiller


def _with_own(job: Job, teachers: Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
    own = job.teachers_for(job.student)
    if own.keys() & teachers.keys():
        raise StillroomError(
            "the algorithm makes the teacher of the student", where="teacher", expected="null", got="another teacher"
        )
    return {**teachers, **own}


def _inherit(job: Job, teachers: Mapping[str, nn.Module]) -> None:
    """Of several teachers ``name/path`` says which one is meant."""
    for path, origin in job.inherit.items():
        name, slash, inside = origin.partition("/")
        if not slash:
            name, inside = (next(iter(teachers)) if len(teachers) == 1 else ""), origin
        if name not in teachers:
            expected = " or ".join(f"{each}/{inside}" for each in teachers)
            raise StillroomError("which teacher?", where=f"inherit.{path}", expected=expected, got=repr(origin))
        holder = teachers[name]
        inherit(job.student, holder.network if isinstance(holder, Teacher) else holder, {path: inside})


def inferred(distiller: Distiller) -> list[str]:
    """The connectors that ``"auto"`` came to, in words."""
    return [
        f"terms.{name}.connector: auto is {' '.join(repr(distiller.connectors[name]).split())}"
        for name, term in distiller.terms.items()
        if term.connector == "auto"
    ]


def _train(
    trainer: Trainer, algorithm: Algorithm, job: Job, checkpoint: Path | None, interruption: _Interruption
) -> None:
    try:
        trainer.fit(algorithm, datamodule=job.data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:
        raise StillroomError(_one_line(error), where="trainer") from error
    except BaseException:
        if interruption.signal_number is None:
            raise
        raise InterruptedRun(advice(job, "train", job.folder), interruption.signal_number) from None


def advice(job: Job, command: str, folder: Path) -> str:
    """How to go on with a job that was interrupted, alone or as a part of what the command does in the folder."""
    if job.role == "teacher":
        return "the same command goes on with the teacher where it stopped"
    if job.class_path is None:
        return f"the same call with out={str(folder)!r} and resume=True goes on"
    return f"go on with: stillroom {command} -r {folder}"


class _Interruption(Callback):
    """Notes which signal ended a training: Lightning turns Ctrl-C and SIGTERM into a SystemExit each."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):
            self.signal_number = int(signal.SIGINT)
        elif isinstance(exception, SIGTERMException) or trainer.received_sigterm:
            self.signal_number = int(signal.SIGTERM)


def _trainer(job: Job, distiller: Distiller, callbacks: list[Callback]) -> Trainer:
    settings = job.settings.lightning()
    several = settings["devices"] not in (1, "1", [0]) or settings["num_nodes"] > 1
    # A term that stops leaves its connector without a gradient, and terms on features the student's head, which plain
    # DDP refuses.
    idle = (
        not isinstance(job.task_weight, int | float)
        or job.task_weight == 0
        or [*distiller.connectors.parameters(), *distiller.losses.parameters()]
    )
    if several and settings["strategy"] == "auto" and idle:
        settings["strategy"] = "ddp_find_unused_parameters_true"
    try:
        trainer = Trainer(
            **settings,
            default_root_dir=job.folder,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        got = ", ".join(f"trainer.{key}={settings[key]}" for key in ("accelerator", "devices", "strategy", "precision"))
        fix = "" if settings["accelerator"] == "auto" else "trainer.accelerator=auto takes what there is."
        raise StillroomError(_one_line(error), where="trainer", got=got, fix=fix) from error
    if (launched := int(os.environ.get("WORLD_SIZE") or trainer.world_size)) != trainer.world_size:
        raise StillroomError(
            "all trainings of processes that were launched together must use all of them",
            where="teacher.trainer.devices" if job.role == "teacher" else "trainer.devices",
            expected=f"{launched} in all",
            got=trainer.world_size,
            fix="Train the teacher by a command of its own first.",
        )
    trainer.accumulate_grad_batches = job.settings.accumulated(
        batch_size=job.data.batch_size, processes=trainer.world_size
    )
    return trainer


def _progress(job: Job, metric: str) -> list[Callback]:
    label = job.folder.name if job.role != "teacher" else f"teacher {job.name}"
    return [ProgressBar(label, Console(stderr=True), metric=metric)] if job.settings.progress else []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".!")


NOISE = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*smaller than the logging interval.*",
    r".*module\(s\) in eval mode at the start of training.*",  # the teacher, as it must be
    ".*Encountered `nan` values.*",  # History refuses them
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning's own use of torch
)


@contextmanager
def _quiet() -> Generator[None]:
    """Lightning's tips and device lines are not for our users, nor are warnings of what is meant to be so."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in NOISE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
