"""Connectors that take something from the finished teacher take it when the distiller is prepared."""

from __future__ import annotations

import re

import pytest
import torch
from distil_nets import Net
from torch import nn

import stillroom as kd
from stillroom import Distiller, StillroomError, Term
from stillroom.connectors import ConvNormAct, OFDMargin
from stillroom.losses import OFD


def images() -> torch.Tensor:
    return torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def distiller_of(teacher: nn.Module, path: str = "norm", **where: str) -> Distiller:
    torch.manual_seed(0)
    margin = nn.Sequential(OFDMargin(7, batch_norm=path))
    sides = {"student": "norm", "teacher": "norm"} | where
    term = Term(OFD(), **sides, connector=ConvNormAct(4, 7), teacher_connector=margin)
    return Distiller(Net(4), teacher, terms={"ofd": term})


def trained(value: float) -> Net:
    teacher = Net(7)
    nn.init.constant_(teacher.norm.weight, value)
    nn.init.constant_(teacher.norm.bias, 0.3)
    return teacher


def test_the_margins_are_those_of_the_teacher_as_it_is_when_the_distiller_is_prepared() -> None:
    """MMRazor takes them when it is built, from a teacher that gets its weights later."""
    teacher = trained(1.0)
    distiller = distiller_of(teacher)
    distiller.prepare(images())
    nn.init.constant_(teacher.norm.weight, 2.0)
    distiller.prepare(images())
    margin = distiller.teacher_connectors["ofd"][0].margin
    assert torch.equal(margin, OFDMargin.of(teacher.norm).margin)
    assert torch.isfinite(distiller(images()).loss)


def test_they_are_saved_with_the_distiller_and_not_with_the_student() -> None:
    distiller = distiller_of(trained(1.0))
    distiller.prepare(images())
    other = distiller_of(trained(3.0))
    other.load_state_dict(distiller.state_dict())
    assert torch.equal(other.teacher_connectors["ofd"][0].margin, distiller.teacher_connectors["ofd"][0].margin)
    assert not [name for name in distiller.student.state_dict() if "margin" in name]


def test_of_several_teachers_it_meets_the_one_that_the_term_reads_and_of_a_compiled_one_the_network() -> None:
    big, small = trained(2.0), trained(1.0)
    teachers = {"big": torch.compile(big, backend="eager"), "small": small}
    term = Term(
        OFD(),
        student="norm",
        teacher="big/norm",
        connector=ConvNormAct(4, 7),
        teacher_connector=OFDMargin(7, batch_norm="norm"),
    )
    distiller = kd.Distiller(Net(4), teachers, terms={"ofd": term})
    distiller.prepare(images())
    assert torch.equal(distiller.teacher_connectors["ofd"].margin, OFDMargin.of(big.norm).margin)


def test_messages() -> None:
    for path, message in (
        ("morm", "terms.ofd.teacher_connector.batch_norm: Net has no module 'morm'. Did you mean 'norm'"),
        ("act", "terms.ofd.teacher_connector: a margin needs a batch norm with scale and shift for each channel"),
    ):
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
            distiller_of(trained(1.0), path).prepare(images())
    # Without a path nothing is taken, and the loss says so.
    term = Term(OFD(), student="norm", teacher="norm", connector=ConvNormAct(4, 7), teacher_connector=OFDMargin(7))
    with pytest.raises(StillroomError, match=r"^terms\.ofd: the loss is not finite; got nan"):
        distiller = Distiller(Net(4), trained(1.0), terms={"ofd": term})
        distiller.prepare(images())
        distiller(images())
