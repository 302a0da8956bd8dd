"""``examine``: the table of the terms, and that nothing is changed."""

from __future__ import annotations

import math

import pytest
import torch
from doctor_nets import Net, batch, cross_entropy, distiller, experienced, findings

import stillroom as kd
from stillroom.diagnosis import Finding, examine, worst_first
from stillroom.losses import L2, CurriculumTemperature, KLDivergence

TERMS = {
    "kl": kd.Term(KLDivergence(tau=4.0), weight=0.5),
    "hint": kd.Term(L2(), student="norm", teacher="norm", connector="auto", weight=0.1),
    "later": kd.Term(L2(), weight=kd.Between(1.0, start=3)),
}


def by_name(made, **options):
    return {row.name: row for row in examine(made, batch(), task=cross_entropy, **options).terms}


def test_what_the_table_says():
    rows = by_name(distiller(TERMS), task_weight=2.0)
    assert list(rows) == ["kl", "hint", "later", "task"]
    assert (rows["kl"].student, rows["kl"].teacher, rows["kl"].student_shape) == ("(output)", "(output)", "(16, 5)")
    hint = rows["hint"]
    assert (hint.student, hint.student_shape, hint.teacher_shape) == ("norm", "(16, 4, 4, 4)", "(16, 6, 4, 4)")
    assert hint.connector.startswith("auto: Conv1x1( (conv): Conv2d(4, 6")
    assert (rows["later"].loss, rows["later"].weight, rows["later"].gradient) == (None, 0.0, None)
    assert (rows["task"].weight, rows["task"].cosine) == (2.0, None)
    assert sum(row.share for row in rows.values()) == pytest.approx(1.0)
    assert rows["task"].share / rows["kl"].share == pytest.approx(2 * rows["task"].loss / (0.5 * rows["kl"].loss))


def test_losses_and_gradients_are_those_of_a_training_step():
    made = distiller(TERMS)
    made.student.drop.p = 0.0
    rows = by_name(made, task_weight=2.0)
    given = batch()
    out = made(given["inputs"], labels=given["labels"])
    parameters = list(made.student.parameters())

    def flat(loss):
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        whole = [torch.zeros_like(p) if g is None else g for g, p in zip(parts, parameters, strict=True)]
        return torch.cat([part.flatten() for part in whole])

    task = flat(2.0 * cross_entropy(out.output, given))
    for name, weight in (("kl", 0.5), ("hint", 0.1)):
        own = flat(weight * out.losses[name])
        assert rows[name].loss == pytest.approx(out.losses[name].item(), rel=1e-5)
        assert rows[name].gradient == pytest.approx(own.norm().item(), rel=1e-4)
        assert rows[name].cosine == pytest.approx((own @ task / own.norm() / task.norm()).item(), abs=1e-4)
    assert rows["task"].gradient == pytest.approx(task.norm().item(), rel=1e-4)


def test_nothing_is_changed():
    made = distiller({**TERMS, "curriculum": kd.Term(CurriculumTemperature(warmup_steps=5))})
    teacher = made.teachers["teacher"].network
    made.student.head.eval()
    made.student.conv.weight.grad = torch.ones_like(made.student.conv.weight)
    models = (made, teacher)
    before = [{name: value.clone() for name, value in each.state_dict().items()} for each in models]
    modes = [[part.training for part in each.modules()] for each in models]
    hooks = [sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in each.modules()) for each in models]
    drawn = torch.get_rng_state()
    assert findings(made) == []
    assert torch.equal(torch.get_rng_state(), drawn)
    for each, state in zip(models, before, strict=True):
        now = each.state_dict()
        assert all(torch.equal(now[name], value) for name, value in state.items())
    assert [[part.training for part in each.modules()] for each in models] == modes
    after = [sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in each.modules()) for each in models]
    assert after == hooks
    assert bool((made.student.conv.weight.grad == 1).all())
    assert all(parameter.grad is None for parameter in made.student.head.parameters())


def test_it_examines_the_present_time():
    made = distiller(TERMS)
    made.at(epoch=3)
    assert by_name(made)["later"].weight == 1.0


def test_several_teachers_are_named():
    teachers = {"big": experienced(Net(6), scale=4.0), "other": experienced(Net(5), scale=4.0)}
    made = distiller({"kl": kd.Term(KLDivergence(tau=2.0), teacher="other/")}, teacher=teachers)
    assert by_name(made)["kl"].teacher == "other/(output)"


def test_without_a_task_or_with_other_models():
    found = examine(distiller(TERMS), batch())
    assert [row.name for row in found.terms] == ["kl", "hint", "later"]
    assert all(row.cosine is None for row in found.terms)
    assert found.findings == ()
    alone = kd.Distiller(Net(), terms={})
    assert [row.name for row in examine(alone, batch(), task=cross_entropy).terms] == ["task"]


def test_a_distiller_that_is_not_prepared():
    made = kd.Distiller(Net(), Net(6), terms=TERMS)
    found = examine(made, batch(), task=cross_entropy)
    assert found.terms == ()
    assert "the distiller is not prepared. Call distiller.prepare(images) once" in str(found.findings[0])


def test_what_a_finding_says():
    note, error = Finding("note", "here", "seen"), Finding("error", "there", "seen 3 of 4", "Do that.")
    assert [*map(str, worst_first([note, error, note]))] == ["error: there: seen 3 of 4. Do that.", "note: here: seen."]
    refused = kd.StillroomError("wrong", where="terms.kl", expected=1, got=math.pi, fix="Stop.")
    assert str(Finding.of(refused)) == f"error: {refused}"
    assert str(Finding.of(refused).refusal()) == str(refused)
