"""A detector in two processes, with its own losses and both of YOLO's terms, equals one on the joint batch."""

from __future__ import annotations

from pathlib import Path

import distil_processes
import torch
from distil_processes import ROWS
from torch import Tensor, nn

from stillroom import Distiller, Term
from stillroom.losses import L2, YOLOFineGrained, YOLOHeadL2
from stillroom.models import YOLOv3

HEADS = [f"heads.{index}.raw" for index in range(3)]


def make() -> Distiller:
    torch.manual_seed(0)
    student, teacher = (YOLOv3(backbone="test_resnet", num_classes=2, width=width).double() for width in (8, 16))
    terms = {
        "l2": Term(YOLOHeadL2(num_classes=2), student=HEADS, teacher=HEADS),
        "fine": Term(YOLOFineGrained(num_classes=2), student=HEADS, teacher=HEADS, weight=10.0),
        "neck": Term(L2(), student="neck.2", teacher="neck.2", connector="auto", weight=0.1),
    }
    distiller = Distiller(student, teacher, terms=terms)
    distiller.prepare(batch(slice(None)))
    return distiller.eval()  # the statistics of a batch are those of each process


def batch(rows: slice) -> dict[str, object]:
    """Images with none to five boxes each."""
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(ROWS, 3, 64, 64, generator=draws, dtype=torch.float64)
    targets = []
    for index in range(ROWS):
        corner = torch.rand(index, 2, generator=draws, dtype=torch.float64) * 40
        side = 4 + torch.rand(index, 2, generator=draws, dtype=torch.float64) * 20
        targets.append({"boxes": torch.cat([corner, corner + side], 1), "labels": torch.arange(index) % 2})
    return {"images": images[rows], "targets": targets[rows]}


def train(distiller: Distiller, model: nn.Module, rows: slice) -> dict[str, Tensor]:
    """The gradients of a step."""
    out = model(batch(rows))
    (sum(out.output["losses"].values()) + out.loss).backward()
    return {name: parameter.grad for name, parameter in distiller.named_parameters()}


def test_two_processes_have_the_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    expected = distil_processes.in_one(make, train)
    assert all(value.any() for name, value in expected.items() if ".heads." in name or "connector" in name)
    for found in distil_processes.in_two(tmp_path, make, train):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
