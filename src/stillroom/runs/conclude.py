"""After the last step: evaluate, write the plain model, the results and the report."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from stillroom.algorithms import Algorithm, Task
from stillroom.data import DataModule, Loader
from stillroom.export import model_facts, write_plain
from stillroom.models import load_weights
from stillroom.reports import (
    Cost,
    ModelFacts,
    RunResults,
    Score,
    Scores,
    TeacherFacts,
    read_run,
    write,
    write_judgement,
    write_report,
)
from stillroom.runs.checkpoints import Checkpoints, read_checkpoint
from stillroom.runs.detections import write_detections
from stillroom.runs.evaluate import evaluate, score
from stillroom.runs.history import History
from stillroom.runs.job import Job
from stillroom.runs.judge import judge
from stillroom.runs.machine import hardware, now, versions
from stillroom.runs.run import Run
from stillroom.runs.samples import write_samples

LATENCY_BATCH = 64


def conclude(job: Job, algorithm: Algorithm, trainer: Trainer, history: History, checkpoints: Checkpoints) -> Run:
    """Evaluate the student at its last and its best epoch and write what the run leaves behind.

    In a training on several devices the first process does this while the others wait.
    """
    student = algorithm.student.eval()
    job.data.trainer = None  # with it, the loaders would give each process its share alone
    if trainer.is_global_zero:
        results = _results(job, algorithm, trainer, history, checkpoints)
        write_plain(
            student,
            job.folder,
            class_path=job.class_path,
            init_args=None if job.init_args is None else dict(job.init_args),
            extra=card_facts(job),
        )
        for name, model in algorithm.companions.items():
            extra = card_facts(job) | {"role": name}
            write_plain(model, job.folder / name, class_path=None, init_args=None, extra=extra)
        write_judgement(judge(algorithm, job.data, trainer.strategy.root_device), job.folder)
        write_samples(algorithm, job.folder)
        write_detections(algorithm, job.data, job.folder)
        write(results, job.folder)  # now the run has ended: what comes before is written again on resuming
        write_report(job.folder)
    trainer.strategy.barrier("the first process has written the run folder")
    return Run(job.folder, student.cpu(), read_run(job.folder))


def card_facts(job: Job) -> dict[str, Any]:
    """What ``model.json`` says besides the class: enough to prepare an image and to name its classes."""
    return {
        "name": job.name,
        "role": job.role,
        "dict_kwargs": dict(job.dict_kwargs),
        "epoch": job.settings.max_epochs,
        "data": None if job.data_plain is None else dict(job.data_plain),
        "task": job.task if isinstance(job.task, str) else None,
        "class_names": job.data.class_names if job.data.sources.class_names is not None else None,
        "input_shape": list(job.data.input_shape),
    }


def measured(model: nn.Module, data: DataModule, *, class_path: str | None) -> ModelFacts:
    """What a model weighs and how fast it answers on samples of the data."""
    facts = model_facts(model, data.example(LATENCY_BATCH))
    return ModelFacts(**asdict(facts), class_path=class_path)


def _results(
    job: Job, algorithm: Algorithm, trainer: Trainer, history: History, checkpoints: Checkpoints
) -> RunResults:
    task, device = algorithm.task, trainer.strategy.root_device
    student = algorithm.student.to(device)
    best = _best(student, checkpoints)
    epochs = trainer.current_epoch, (checkpoints.best_epoch or 0) + 1
    models = (student, epochs[0]), (student if best is None else best, epochs[0] if best is None else epochs[1])
    most = int(trainer.num_training_batches) * job.data.batch_size * trainer.world_size  # the trainer may limit them
    samples = min(len(job.data.sources.train), most) * trainer.current_epoch
    return RunResults(
        name=job.name,
        role=job.role,
        date=now(),
        seed=job.seed,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        seconds=history.seconds,
        hardware=hardware(device),
        versions=versions(),
        model=measured(student, job.data, class_path=job.class_path),
        test=None if job.data.sources.test is None else _scores(job, task, models, job.data.test_dataloader(), device),
        validation=_scores(job, task, models, job.data.val_dataloader(), device),
        teacher={name: trained.facts for name, trained in job.teachers.items()},
        cost=Cost(
            seconds_per_epoch=history.seconds / max(trainer.current_epoch, 1),
            samples_per_second=samples / history.seconds,
            peak_memory_mb=torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None,
        ),
        best_by="validation",
        metric=task.metric,
        companions={
            name: _companion(name, model.to(device), job, task, epochs[0], device)
            for name, model in algorithm.companions.items()
        },
    )


def _companion(name: str, model: nn.Module, job: Job, task: Task, epoch: int, device: torch.device) -> TeacherFacts:
    def reached(batches: Loader) -> Score | None:
        return _score(job, task, model, batches, epoch=epoch, device=device)

    test = None if job.data.sources.test is None else reached(job.data.test_dataloader())
    return TeacherFacts(folder=str(job.folder / name), validation=reached(job.data.val_dataloader()), test=test)


def _score(
    job: Job, task: Task, model: nn.Module, batches: Loader, *, epoch: int, device: torch.device
) -> Score | None:
    found = evaluate(model, batches, task=task, device=device)
    return score(found, epoch=epoch, names=job.data.sources.class_names)


def _best(student: nn.Module, checkpoints: Checkpoints) -> nn.Module | None:
    if checkpoints.best_epoch is None:
        return None
    path, model = checkpoints.folder / "best.ckpt", copy.deepcopy(student)
    read_checkpoint(path)  # refuses a damaged file
    load_weights(model, path)
    return model


def _scores(
    job: Job,
    task: Task,
    models: tuple[tuple[nn.Module, int], tuple[nn.Module, int]],
    batches: Loader,
    device: torch.device,
) -> Scores | None:
    scores: list[Score] = []
    for model, epoch in models:
        found = _score(job, task, model, batches, epoch=epoch, device=device)
        if found is None:
            return None
        scores.append(found)
    return Scores(last=scores[0], best=scores[1])
