"""Each finding: when it is there, what it says, and when it is not."""

from __future__ import annotations

import re

import pytest
import torch
from doctor_nets import (
    Contrary,
    Flat,
    Net,
    Numb,
    Restless,
    Steep,
    Twice,
    batch,
    cross_entropy,
    distiller,
    experienced,
    findings,
)

import stillroom as kd
from stillroom.diagnosis import examine
from stillroom.losses import L2, KLDivergence, StandardizedKL

KL = {"kl": kd.Term(KLDivergence(tau=2.0))}


def term(loss, **options):
    return {"own": kd.Term(loss, **options)}


def test_a_healthy_distiller():
    assert findings(distiller(KL)) == []


@pytest.mark.parametrize(("weight", "how"), [(1e3, "larger"), (1e-4, "smaller")])
def test_out_of_scale(weight, how):
    made = distiller(term(KLDivergence(tau=2.0), weight=weight))
    (said,) = findings(made)
    pattern = (
        rf"warning: terms\.own: its gradient is much {how} than the task's: \S+ against \S+, \S+ times as large\. "
        r"A weight of (\S+) would make them equal\."
    )
    equal = float(re.fullmatch(pattern, said)[1])
    rows = examine(distiller(term(KLDivergence(tau=2.0), weight=equal)), batch(), task=cross_entropy).terms
    assert rows[0].gradient == pytest.approx(rows[1].gradient, rel=0.1)
    assert findings(made, task=None) == []


def test_a_term_that_does_not_reach_the_student():
    (said,) = findings(distiller(term(Numb(), weight=0.5)))
    assert said.startswith("error: terms.own: its weight is 0.5, and nothing that the student learns has a part")
    student = Net()
    student.conv.requires_grad_(False)
    frozen = distiller(term(L2(), student="conv", teacher="conv"), student=student, teacher=experienced(Net(4)))
    assert "terms.own: its weight is 1, and nothing that the student learns" in findings(frozen)[0]
    assert findings(distiller(term(L2(), weight=0.1))) == []


def test_a_term_without_a_slope():
    (said,) = findings(distiller(term(Flat())))
    assert said.startswith("warning: terms.own: its gradient for the student is exactly 0, at a value of 0. Are both ")
    (said,) = findings(distiller(term(Steep())))
    assert said.startswith("error: terms.own: its gradient for the student is not finite, at a value of 0. Look for ")


def test_a_student_of_which_nothing_is_trained():
    said = findings(distiller(KL, student=Net().requires_grad_(False)))
    assert [line.partition(",")[0] for line in said] == [
        "error: terms.kl: its weight is 1",
        "error: task: its weight is 1",
    ]


def test_a_term_against_the_task():
    said = findings(distiller(term(Contrary(), weight=0.5)))
    note = "note: terms.own: its gradient points away from the task's: the cosine is -1.00. Watch whether both losses "
    assert said[0].startswith(note)
    assert findings(distiller(term(Contrary(), weight=-0.5))) == []


def test_a_value_that_is_the_same_for_all():
    student = Net()
    torch.nn.init.zeros_(student.conv.weight)
    hint = term(L2(), student="conv", teacher="conv", connector="auto", weight=0.1)
    said = findings(distiller(hint, student=student))
    start = "warning: terms.own.student: the value at 'conv' is the same for all 16 samples. Nothing can be learned "
    assert said[0].startswith(start)
    teacher = experienced(Net(6))
    torch.nn.init.zeros_(teacher.conv.weight)
    said = findings(distiller(hint, teacher=teacher))
    assert any("terms.own.teacher: the value at 'teacher/conv' is the same for all 16 samples" in line for line in said)
    assert findings(distiller(hint)) == []


def test_a_site_that_runs_twice():
    hint = kd.Term(L2(), student="norm", teacher="norm", connector="auto", weight=0.1)
    made = distiller({"hint": hint})
    made.student.__class__ = Twice
    (said,) = findings(made)
    assert said == (
        "error: terms.hint.student: module 'norm' was called 2 times in one forward pass. "
        "Choose one call: norm@0 ... norm@1."
    )
    chosen = kd.Term(L2(), student="norm@1", teacher="norm", connector="auto", weight=0.1)
    assert findings(distiller({"hint": chosen}, student=Twice())) == []


def test_a_temperature_that_is_too_low_or_too_high():
    teacher = experienced(Net(6), scale=1e5)
    (said,) = [line for line in findings(distiller(KL, teacher=teacher)) if "softmax" in line]
    assert said.startswith("warning: terms.kl: at tau 2 the teacher's softmax is nearly one-hot: its largest")
    hot = distiller(term(KLDivergence(tau=1000.0)))
    (said,) = [line for line in findings(hot) if "softmax" in line]
    assert said == (
        "warning: terms.own: at tau 1000 the teacher's softmax is nearly uniform: it has 100.0 % of the possible "
        "entropy. Lower tau. It says hardly anything."
    )
    # Its temperature is one of standardised logits.
    assert not any(
        "softmax" in line for line in findings(distiller(term(StandardizedKL(), weight=0.1), teacher=teacher))
    )


def test_a_teacher_in_train_mode():
    made = distiller(KL)
    made.teachers["teacher"].network.norm.train()
    (said,) = findings(made)
    assert said.startswith("error: teacher: the teacher is in train mode (1 of 5 modules, the first 'norm'). Do not")
    assert made.teachers["teacher"].network.norm.training
    made.teachers["teacher"].network.norm.eval()
    assert findings(made) == []


def test_a_teacher_that_moves():
    teacher = Restless()
    made = distiller(KL, teacher=experienced(teacher, scale=4.0))
    count = teacher.count.clone()
    (said,) = findings(made)
    assert said.startswith("error: teacher: a forward pass moves 1 of its buffers, the first 'count'. A teacher")
    assert torch.equal(teacher.count, count)


@pytest.mark.parametrize("change", [{"mean": 6.0}, {"std": 4.0}, {"std": 0.1}])
def test_a_teacher_that_sees_what_it_does_not_know(change):
    made = distiller(KL)
    said = findings(made, batch(64, **change))
    start = "warning: teacher: what reaches its first BatchNorm ('norm') is unlike what it was trained on: "
    (found,) = [line for line in said if line.startswith(start)]
    assert re.search(r"means are \S+ deviations away, and their deviations differ by a factor of \S+\. Norm", found)
    for well in (batch(8), batch(64)):
        assert not any("BatchNorm" in line for line in findings(made, well))


def test_the_teachers_transform_counts():
    class Standardise(torch.nn.Module):
        def forward(self, images):
            return (images - 6.0) / 4.0

    seated = kd.Teacher(experienced(Net(6), scale=4.0), transform=Standardise())
    assert not any(
        "BatchNorm" in line for line in findings(distiller(KL, teacher=seated), batch(64, mean=6.0, std=4.0))
    )
    assert any("BatchNorm" in line for line in findings(distiller(KL, teacher=seated), batch(64)))


def test_the_members_of_an_ensemble_are_looked_into():
    members = [kd.Teacher(experienced(Net(6), scale=4.0)), experienced(Restless(), scale=4.0)]
    made = distiller(KL, teacher=kd.Ensemble(members))
    said = findings(made, batch(64, std=5.0))
    assert sum("BatchNorm" in line for line in said) == 2
    assert "a forward pass moves 1 of its buffers, the first 'count'" in said[0]


def test_untrained_batch_norms_say_nothing():
    made = distiller(KL, teacher=Net(6))
    assert not any("BatchNorm" in line for line in findings(made, batch(64, std=5.0)))


def test_an_untrained_teacher_is_not_judged():
    made = distiller(
        {"kl": kd.Term(KLDivergence(tau=1000.0), weight=1e4), "numb": kd.Term(Numb())}, teacher=experienced(Net(6))
    )
    wrong = batch(64, std=5.0)
    assert len(findings(made, wrong)) > 2
    (said,) = findings(made, wrong, untrained=["teacher"])
    assert said.startswith("error: terms.numb: its weight is 1")


def test_a_value_that_is_not_finite():
    made = distiller(KL)
    given = batch()
    given["inputs"][3] = float("nan")
    (said,) = findings(made, given)
    assert said.startswith("error: terms.kl: the loss is not finite; got nan. Look at the learning rate")
