"""The recipe digits-method: every method of the catalogue trains a student, and what it teaches is learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from stillroom.recipes import shipped
from stillroom.reports.methods import methods
from stillroom.runs import read_recipe
from stillroom.runs.fit import prepared
from stillroom.runs.train import make_data, make_job

VARIANTS = yaml.safe_load(shipped()["digits-method"].read_text())["variants"]
EPOCHS, ENDS = 2, 8
HELD_BACK = {"CorrelationCongruence", "L1", "SRD", "VirtualTeacher"}
"""What these measure grows while the labels are learned, and with the term it grows less."""
OF_GENERATED_DATA = {"ActivationNorm", "InformationEntropy", "OneHotLike"}
OF_DETECTORS = {"CrossKD", "FGD", "LocalizationDistillation", "YOLOFineGrained", "YOLOHeadL2"}


def test_every_method_that_can_teach_a_classifier_is_in_it() -> None:
    assert VARIANTS.keys() - {"alone"} == methods().keys() - OF_GENERATED_DATA - OF_DETECTORS
    for name, sections in VARIANTS.items():
        losses = {str(term["loss"]) for term in sections.get("terms", {}).values()}
        assert not losses or all(name in loss for loss in losses)


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    """That of the recipe, after two epochs."""
    recipe = read_recipe("digits-method").teacher_recipe()
    data = make_data(recipe)
    job = make_job(recipe, data, Path("unused"), "teacher")
    optimizer = torch.optim.SGD(job.student.parameters(), lr=0.05, momentum=0.9)
    data.prepare_data()
    for epoch in range(2):
        for inputs, labels, _ in batches(data, epoch):
            optimizer.zero_grad()
            F.cross_entropy(job.student(inputs), labels).backward()
            optimizer.step()
    return job.student.eval()


def batches(data, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    loader = data.train_dataloader()
    loader.batches.set_epoch(epoch)
    for batch in loader:
        yield batch["inputs"], batch["labels"], batch["index"]


def trained(name: str, teacher: nn.Module, *words: str) -> tuple[list[float], list[float]]:
    """The term called method and the cross entropy, step by step."""
    recipe = read_recipe("digits-method", [f"variant={name}", *words])
    job = make_job(recipe, make_data(recipe), Path("unused"), "distilled")
    distiller = prepared(job, {"teacher": teacher} if recipe.teacher else {})
    optimizer = job.optimizer(distiller.parameters())
    terms: list[float] = []
    tasks: list[float] = []
    distiller.train()
    for epoch in range(EPOCHS):
        for inputs, labels, index in batches(job.data, epoch):
            optimizer.zero_grad()
            found = distiller(inputs, labels=labels, index=index)
            task = F.cross_entropy(found.output, labels)
            (job.task_weight * task + found.loss).backward()
            optimizer.step()
            terms.append(found.losses["method"].item())
            tasks.append(task.item())
    distiller.release()
    return terms, tasks


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "alone"])
def test_the_term_falls_and_the_student_learns(name: str, teacher: nn.Module) -> None:
    terms, tasks = trained(name, teacher)
    assert fmean(tasks[-ENDS:]) < 0.95 * fmean(tasks[:ENDS])
    if name not in HELD_BACK:
        assert fmean(terms[-ENDS:]) < fmean(terms[:ENDS])
    else:
        without, _ = trained(name, teacher, "terms.method.weight=1e-9")
        assert fmean(terms[-ENDS:]) < fmean(without[-ENDS:])
