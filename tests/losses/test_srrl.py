from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from stillroom import Distiller, Parameter, Site, StillroomError, Term
from stillroom.connectors import ConvNormAct
from stillroom.losses import SRRL, srrl
from stillroom.models import SmallCNN


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_it_is_the_papers_two_losses_of_a_classifier_with_a_bias(weight: float) -> None:
    """The feature's, and that of the logits of the teacher's own classifier, whose bias cancels."""
    student, teacher, head = torch.randn(4, 6, 3, 2), torch.randn(4, 6, 3, 2), nn.Linear(6, 5)
    c, t = student.mean((2, 3)), teacher.mean((2, 3))
    expected = (c - t).square().mean() + weight * (head(c) - head(t)).square().mean()
    torch.testing.assert_close(SRRL(weight=weight)(student, teacher, classifier=head.weight), expected)


def test_vectors_are_maps_of_one_pixel() -> None:
    student, teacher, weight = torch.randn(4, 6), torch.randn(4, 6), torch.randn(5, 6)
    maps = student[:, :, None, None], teacher[:, :, None, None]
    assert torch.equal(srrl(student, teacher, classifier=weight), srrl(*maps, classifier=weight))


def test_the_gradient_goes_through_the_classifier_and_not_into_it() -> None:
    student = torch.randn(4, 6, requires_grad=True)
    classifier = nn.Parameter(torch.randn(5, 6))
    SRRL()(student, torch.randn(4, 6), classifier=classifier).backward()
    assert student.grad is not None and student.grad.any()
    assert classifier.grad is None


def test_in_a_distiller_the_connector_stands_before_the_average() -> None:
    """A port of the authors' code averages first, and then normalises vectors."""
    torch.manual_seed(0)
    student, teacher = SmallCNN(width=2), SmallCNN(width=3)
    connector = ConvNormAct(4, 6, activation="relu")
    extra = {"classifier": Site(Parameter("fc.weight"), "teacher")}
    term = Term(SRRL(), student="layer2", teacher="layer2", connector=connector, extra=extra)
    distiller = Distiller(student, teacher, terms={"srrl": term}).eval()
    x = torch.randn(5, 1, 8, 8)
    hidden, goal = (net.layer2(net.layer1(net.stem(x))) for net in (student, teacher))
    c, t = connector(hidden).mean((2, 3)), goal.mean((2, 3))
    expected = (c - t).square().mean() + (teacher.fc(c) - teacher.fc(t)).square().mean()
    torch.testing.assert_close(distiller(x).loss, expected)


def test_messages() -> None:
    with pytest.raises(StillroomError, match=r"^this cannot be a weight; expected weight >= 0 and finite, got -1\.$"):
        SRRL(weight=-1)
    for shape in ((5, 4), (6,), (5, 6, 1)):
        message = (
            "classifier does not read these features; expected the weight of the teacher's linear classifier, "
            f"(classes, 6), got {shape}."
        )
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
            SRRL()(torch.zeros(2, 6), torch.zeros(2, 6), classifier=torch.zeros(shape))
