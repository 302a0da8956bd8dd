"""What one forward pass is enough for."""

from __future__ import annotations

import pytest
import torch
from doctor_nets import Net, Numb, Restless, batch, distiller, experienced

import stillroom as kd
from stillroom.diagnosis import certain
from stillroom.diagnosis.certain import depends
from stillroom.losses import L2, KLDivergence

KL = {"kl": kd.Term(KLDivergence(tau=2.0))}


def said(made, count=2):
    return [str(finding) for finding in certain(made, batch(count))]


def test_a_healthy_distiller_is_as_before():
    made = distiller({**KL, "hint": kd.Term(L2(), student="norm", teacher="norm", connector="auto")})
    before = {name: value.clone() for name, value in made.state_dict().items()}
    drawn = torch.get_rng_state()
    assert said(made) == []
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(made.state_dict()[name], value) for name, value in before.items())
    assert all(part.training for part in made.student.modules())


def test_a_term_that_does_not_reach_the_student():
    (line,) = said(distiller({**KL, "numb": kd.Term(Numb(), weight=0.5)}))
    start = "error: terms.numb: its weight is 0.5, and nothing that the student learns has a part in its value ("
    assert line.startswith(start)
    hint = kd.Term(L2(), student="conv", teacher="conv", connector="auto")
    student = Net()
    student.conv.requires_grad_(False)
    assert "terms.hint" in said(distiller({"hint": hint}, student=student))[0]  # its connector alone would learn
    later = kd.Term(Numb(), weight=kd.Between(1.0, start=5))
    assert said(distiller({**KL, "later": later})) == []


def test_teachers_that_are_not_still():
    made = distiller(KL, teacher=experienced(Restless()))
    made.teachers["teacher"].network.drop.train()
    awake, moved = said(made)
    assert awake.startswith("error: teacher: the teacher is in train mode (1 of 5 modules, the first 'drop').")
    assert moved.startswith("error: teacher: a forward pass moves 1 of its buffers, the first 'count'.")


def test_what_cannot_run():
    made = kd.Distiller(Net(), Net(6), terms={"hint": kd.Term(L2(), student="norm", teacher="norm", connector="auto")})
    assert said(made)[0].startswith("error: the distiller is not prepared.")


@pytest.mark.parametrize(
    "through", [lambda x: x * 2, lambda x: torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=False)]
)
def test_a_graph_leads_to_its_parameters(through):
    one, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    value = through(one).sum() + other.detach().sum()
    assert depends(value, [one])
    assert not depends(value, [other])
    assert not depends(value, [])
    assert not depends(torch.ones(()), [one])
