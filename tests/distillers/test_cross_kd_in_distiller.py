"""CrossKD in a distiller: the tail is the teacher's own, two modules of it, and the maps are taken inside the heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillroom import Distiller, Site, Submodule, Term
from stillroom.losses import CrossKD, cross_kd


class Head(nn.Module):
    """A map to class logits, through two convolutions whose activations are in place; it runs once for each level."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.last = nn.ReLU(inplace=True), nn.Conv2d(4, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.second(self.act(self.first(x)))))


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head()

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.head(x), self.head(nn.functional.avg_pool2d(x, 2))]


def test_levels_and_tail_come_from_their_sites() -> None:
    torch.manual_seed(0)
    student, teacher = Pyramid(), Pyramid()
    inside = ["head.first@0", "head.first@1"]
    term = Term(
        CrossKD(anchors=2),
        student=inside,
        teacher=["head@0", "head@1"],
        extra={
            "hidden": [f"teacher/{site}" for site in inside],
            "tail": [Site(Submodule(path), "teacher") for path in ("head.second", "head.act", "head.last")],
        },
    )
    distiller = Distiller(student, teacher, terms={"cross": term})
    x = torch.randn(2, 3, 8, 6)
    distiller.prepare(x)
    levels = (x, nn.functional.avg_pool2d(x, 2))
    for _ in range(2):
        found = distiller(x).loss
        expected = cross_kd(
            [student.head.first(level) for level in levels],
            teacher(x),
            hidden=[teacher.head.first(level) for level in levels],
            tail=[teacher.head.second, nn.ReLU(), teacher.head.last],
            anchors=2,
        )
        torch.testing.assert_close(found, expected)
    found.backward()
    assert student.head.first.weight.grad is not None and student.head.first.weight.grad.any()
    assert student.head.last.weight.grad is None
    assert all(parameter.grad is None for parameter in teacher.parameters())
