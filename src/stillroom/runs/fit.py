"""Running a job: one training, from its objects to a finished run folder."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor, nn

from stillroom.algorithms import Offline, logits_of, split
from stillroom.data import DataModule
from stillroom.distillers import Distiller
from stillroom.errors import StillroomError
from stillroom.runs.checkpoints import Checkpoints, read_checkpoint
from stillroom.runs.conclude import conclude
from stillroom.runs.folder import is_first_process, last_checkpoint, write_config
from stillroom.runs.history import History
from stillroom.runs.job import Job
from stillroom.runs.progress import ProgressBar
from stillroom.runs.randomness import StepRandomness
from stillroom.runs.run import Run

DRY_SAMPLES = 8


class InterruptedRun(Exception):  # noqa: N818 - it is no error of anybody's
    """A signal ended the training; its folder holds what it takes to go on.

    Args:
        advice: how to go on.
        signal_number: SIGINT or SIGTERM.
    """

    def __init__(self, advice: str, signal_number: int) -> None:
        super().__init__(f"interrupted; {advice}")
        self.signal_number = signal_number


def fit(job: Job, *, resume: bool = False) -> Run:
    """Train, evaluate, and leave a finished run folder behind.

    Args:
        job: what to train; its folder must not hold another run.
        resume: go on from the folder's last checkpoint, or from the start where none was written yet.

    Returns:
        The run, with the student's hooks taken off.

    Raises:
        StillroomError: something does not fit together; found before training wherever that is possible.
        InterruptedRun: SIGINT or SIGTERM ended it.
    """
    console = Console(stderr=True)
    job.data.seed = job.seed
    job.data.prepare_data()
    batch = job.data.sample(DRY_SAMPLES)
    distiller = Distiller(job.student, None if job.teacher is None else job.teacher.network, terms=dict(job.terms))
    inputs, context = split(batch)
    distiller.cpu().prepare(inputs, **context)
    if "labels" in context and job.task_weight != 0:
        _same_classes(job.student, inputs, job.data)
    checkpoint = last_checkpoint(job.folder) if resume else None
    if checkpoint is not None:
        read_checkpoint(checkpoint)
    if is_first_process():
        write_config(job.folder, dict(job.config))
    history = History(job.folder, every=job.settings.log_every)
    checkpoints = Checkpoints(
        job.folder,
        seconds=job.settings.checkpoint_seconds,
        monitor="val_accuracy" if "labels" in context else None,
        every_n_epochs=job.settings.checkpoint_every,
    )
    interruption = _Interruption()
    callbacks: list[Callback] = [StepRandomness(job.seed), history, interruption, checkpoints]
    if job.settings.progress:
        label = job.folder.name if job.role != "teacher" else f"teacher {job.name}"
        callbacks.insert(2, ProgressBar(label, console))
    algorithm = Offline(
        distiller,
        optimizer=job.optimizer,
        scheduler=job.scheduler,
        scheduler_interval=job.scheduler_interval,
        task=job.task,
        task_weight=job.task_weight,
    )
    with _quiet():
        trainer = _trainer(job, distiller, callbacks)
        try:
            trainer.fit(algorithm, datamodule=job.data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            if interruption.signal_number is None:
                raise
            advice = f"go on with: stillroom train -r {job.folder}"
            if job.role == "teacher":
                advice = "the same command goes on with the teacher where it stopped"
            raise InterruptedRun(advice, interruption.signal_number) from None
    distiller.release()
    return conclude(job, algorithm, trainer, history, checkpoints)


class _Interruption(Callback):
    """Notes which signal ended a training: Lightning turns Ctrl-C and SIGTERM into a SystemExit each."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):
            self.signal_number = int(signal.SIGINT)
        elif isinstance(exception, SystemExit) or trainer.received_sigterm:
            self.signal_number = int(signal.SIGTERM)


def _trainer(job: Job, distiller: Distiller, callbacks: list[Callback]) -> Trainer:
    settings = job.settings.lightning()
    several = settings["devices"] not in (1, "1", [0]) or settings["num_nodes"] > 1
    if several and settings["strategy"] == "auto" and (distiller.connectors or any(distiller.losses.parameters())):
        # A term that stops leaves its connector without a gradient, which plain DDP refuses.
        settings["strategy"] = "ddp_find_unused_parameters_true"
    try:
        return Trainer(
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
        raise StillroomError(" ".join(str(error).split()).rstrip("."), where="trainer") from error


def _same_classes(student: nn.Module, inputs: Tensor, data: DataModule) -> None:
    modes = student.training
    with torch.no_grad():
        logits = logits_of(student.eval()(inputs))
    student.train(modes)
    if logits.dim() != 2 or logits.shape[1] != data.num_classes:
        raise StillroomError(
            "the student's classes are not the data's",
            where="student",
            expected=f"logits (N, {data.num_classes}) for {type(data).__name__}",
            got=tuple(logits.shape),
            fix=f"Set its number of classes to {data.num_classes}.",
        )


NOISE = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*smaller than the logging interval.*",
    r".*module\(s\) in eval mode at the start of training.*",  # the teacher, as it must be
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
