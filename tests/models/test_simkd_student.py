"""SimKD's student: what it holds, what it computes, what is trained."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import stillroom as kd
from stillroom import Distiller, StillroomError, Term
from stillroom.losses import SimKD
from stillroom.models import SimKDStudent, SmallCNN


def made(network: nn.Module | None = None, **arguments: object) -> SimKDStudent:
    torch.manual_seed(0)
    given = {"features": "layer2", "classifier": "fc", "channels": (8, 16)} | arguments
    return SimKDStudent(SmallCNN(width=4) if network is None else network, **given)


def images() -> torch.Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_it_predicts_with_the_teachers_classifier_on_the_projected_map() -> None:
    network, teacher = SmallCNN(width=4), SmallCNN(width=8)
    student = made(network).eval()
    kd.inherit(student, teacher, {"network.fc": "fc"})
    projector = student.network.layer2.projector
    network.eval()
    hidden = network.layer2(network.layer1(network.stem(images())))
    expected = teacher.fc(projector(hidden).mean((2, 3)))
    torch.testing.assert_close(student(images()), expected)


def test_the_network_given_is_left_as_it_was() -> None:
    network = SmallCNN(width=4)
    names = list(network.state_dict())
    student = made(network)
    assert list(network.state_dict()) == names
    assert not {id(p) for p in network.parameters()} & {id(p) for p in student.parameters()}


def test_what_it_is_made_of() -> None:
    student, own = made(), SmallCNN(width=4)
    counts = student.contents()
    projector = sum(p.numel() for p in student.network.layer2.projector.parameters())
    assert counts == {
        "the student": sum(p.numel() for p in own.parameters()) - sum(p.numel() for p in own.fc.parameters()),
        "the projector": projector,
        "the teacher's classifier": 16 * 10 + 10,
    }
    assert sum(counts.values()) == sum(p.numel() for p in student.parameters())


def test_the_loss_alone_teaches_it_and_the_classifier_stays() -> None:
    torch.manual_seed(0)
    student, teacher = made(), SmallCNN(width=8)
    kd.inherit(student, teacher, {"network.fc": "fc"})
    before = student.network.fc.weight.clone()
    term = Term(SimKD(), student="network.layer2.projector", teacher="layer2")
    distiller = Distiller(student, teacher, terms={"simkd": term})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = distiller(images()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert torch.equal(student.network.fc.weight, before)


def test_it_is_one_graph_to_export() -> None:
    student = made().eval()
    program = torch.export.export(student, (images(),))
    torch.testing.assert_close(program.module()(images()), student(images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "layer3"}, "SmallCNN has no module 'layer3'. Did you mean 'layer2'"),
        ({"classifier": "layer1"}, "layer1: the classifier must be linear; expected nn.Linear, got Sequential."),
        ({"channels": (8, 0)}, "out_channels must be a whole number, at least 1; got 0."),
    ],
)
def test_messages(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        made(**arguments)
