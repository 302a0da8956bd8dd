"""The student beside its teacher: counted on samples, compared with torchmetrics, left out where it cannot be."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError, MulticlassConfusionMatrix

from stillroom.algorithms import Offline
from stillroom.data import Sets
from stillroom.distillers import Distiller, Teacher
from stillroom.reports import read_judgement, write_judgement
from stillroom.runs import read_recipe, train
from stillroom.runs.judge import calibration, judge, picture

CPU = torch.device("cpu")
QUICK = ("trainer.max_epochs=2", "trainer.progress=false", "teacher.trainer.max_epochs=2", "teacher.check=false")


class Says(nn.Module):
    """Logits by the first pixel of an image, as in a table."""

    def __init__(self, table: list[int], classes: int, sure: float = 4.0) -> None:
        super().__init__()
        self.register_buffer("table", F.one_hot(torch.tensor(table), classes) * sure)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.table[images[:, 0, 0, 0].long()] + self.weight


def images(count: int, labels: list[int]) -> Sets:
    pairs = [(torch.full((1, 4, 4), float(index)), label) for index, label in zip(range(count), labels, strict=True)]
    return Sets(pairs, pairs, batch_size=4)


def judged(student: list[int], teacher: list[int], labels: list[int], classes: int = 3):
    distiller = Distiller(Says(student, classes), Says(teacher, classes))
    algorithm = Offline(distiller, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    return judge(algorithm, images(len(labels), labels), CPU)


def test_what_is_counted() -> None:
    found = judged([0, 1, 2, 0, 1, 1], [0, 1, 1, 0, 2, 1], [0, 1, 2, 1, 2, 1])
    assert (found.samples, found.split, found.teacher) == (6, "validation", "teacher")
    assert (found.student_accuracy, found.teacher_accuracy) == (4 / 6, 4 / 6)
    assert (found.agreement, found.student_alone, found.teacher_alone) == (4 / 6, 1 / 6, 1 / 6)
    assert found.confusion == [[2, 0, 0], [0, 2, 1], [0, 1, 0]]
    assert [(swap.teacher, swap.student, swap.count) for swap in found.swaps] == [(1, 2, 1), (2, 1, 1)]
    assert [(each.label, each.teacher, each.student) for each in found.disagreements] == [(2, 1, 2), (2, 2, 1)]
    assert found.likeness is None


def test_the_confusion_and_the_calibration_are_those_of_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(500, 4, generator=generator) * 2, torch.randint(4, (500,), generator=generator)
    metric = MulticlassCalibrationError(num_classes=4, n_bins=15)
    found = calibration(logits, labels)
    assert found.error == pytest.approx(float(metric(logits.softmax(1), labels)), abs=1e-6)
    assert sum(each.count for each in found.bins) == 500
    assert all(0.25 <= each.confidence <= 1 for each in found.bins)
    student, teacher = (torch.randint(4, (40,), generator=generator).tolist() for _ in range(2))
    counted = judged(student, teacher, [0] * 40, classes=4).confusion
    expected = MulticlassConfusionMatrix(num_classes=4)(torch.tensor(student), torch.tensor(teacher))
    assert counted == expected.tolist()


def test_many_classes_have_no_table_but_the_most_frequent_swaps() -> None:
    student = [*range(21), 0, 0, 0]
    found = judged(student, [*range(21), 5, 5, 7], [*range(21), 0, 0, 0], classes=21)
    assert found.confusion is None
    assert [(swap.teacher, swap.student, swap.count) for swap in found.swaps] == [(5, 0, 2), (7, 0, 1)]


def test_what_cannot_be_judged_is_left_out(tmp_path) -> None:
    def found(distiller: Distiller, data: Sets):
        return judge(Offline(distiller, optimizer=torch.optim.SGD), data, CPU)

    six = [0] * 6
    assert found(Distiller(Says(six, 3)), images(6, six)) is None
    assert found(Distiller(Says(six, 3), Says(six, 4)), images(6, six)) is None
    unlabelled = Sets([torch.zeros(1, 4, 4)] * 6, [torch.zeros(1, 4, 4)] * 6)
    assert found(Distiller(Says(six, 3), Says(six, 3)), unlabelled) is None
    assert found(Distiller(Says(six, 3), Teacher(Says(six, 4), classes=[1, 0, 2])), images(6, six)).agreement == 0.0
    write_judgement(None, tmp_path)
    assert not list(tmp_path.iterdir())
    assert read_judgement(tmp_path) is None


def test_pictures() -> None:
    batch = torch.rand(2, 3, 200, 100)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture(batch, 1)))))
    assert image.shape == (96, 48, 3)
    assert (image.min(), image.max()) == (0, 255)
    small = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture(torch.arange(4.0).view(1, 1, 2, 2), 0)))))
    assert small[..., 0].tolist() == [[0, 85], [170, 255]]
    assert picture(torch.rand(2, 5, 4, 4), 0) is None
    assert picture({"images": batch}, 0) is None


def test_a_run_leaves_it_behind_and_keeps_its_student(tmp_path) -> None:
    run = train(read_recipe("digits", QUICK), out=tmp_path / "r")
    found = read_judgement(tmp_path / "r")
    results = run.results
    assert found.student_accuracy == pytest.approx(results.test.last.accuracy)
    assert found.teacher_accuracy == pytest.approx(results.teacher["teacher"].test.accuracy)
    assert (found.samples, found.split, found.classes) == (300, "test", [str(digit) for digit in range(10)])
    assert (found.likeness.student, found.likeness.teacher) == (["layer1", "layer2"], ["layer1", "layer2"])
    assert all(0 < value <= 1 for row in found.likeness.values for value in row)
    assert json.loads((tmp_path / "r" / "judgement.json").read_text())["agreement"] == found.agreement
    assert "Student and teacher" in (tmp_path / "r" / "report.html").read_text()
