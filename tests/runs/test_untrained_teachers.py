"""A detector that teaches is held against itself untrained."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from tiny_yolo import tiny
from torch import nn

from stillroom.algorithms import Evaluation, as_task
from stillroom.distillers import Teacher
from stillroom.errors import StillroomError
from stillroom.models import YOLOv3
from stillroom.runs.assess import assessed
from stillroom.runs.evaluate import evaluate
from stillroom.runs.lineup import measured
from stillroom.runs.teachers import Standing
from stillroom.runs.train import make_data
from stillroom.runs.untrained import untrained


def test_a_teacher_that_has_learned_nothing(shapes, monkeypatch):
    """Whatever it reaches must be more than what fresh weights reach, which moves none of the draws of others."""
    torch.manual_seed(1)
    teacher, data = YOLOv3("test_resnet", 2, width=32), make_data(tiny(shapes))
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    message = (
        r"^teacher: the teacher is no better than chance on the validation set; expected an AP50 above \d\.\d % \(that "
        r"of the same model untrained\), got \d\.\d % of 4 samples\. Check its weights and the data's normalisation\.$"
    )
    with pytest.raises(StillroomError, match=message):
        assessed(teacher, data, task="detection")
    facts = assessed(teacher, data, task="detection", check=False).facts
    assert set(facts.validation.per_class) == {"circle", "square"}
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())

    def better(model, *args, **kwargs) -> Evaluation:
        return replace(evaluate(model, *args, **kwargs), accuracy=0.9 if model is teacher else 0.0)

    for module in ("assess", "untrained"):
        monkeypatch.setattr(f"stillroom.runs.{module}.evaluate", better)
    assert assessed(teacher, data, task="detection").facts.validation.accuracy == 0.9


@pytest.mark.parametrize("check", [True, False])
def test_a_checkup_holds_it_against_the_same(shapes, monkeypatch, check):
    torch.manual_seed(1)
    teacher, student = (YOLOv3("test_resnet", 2, width=width) for width in (32, 16))
    data, task = make_data(tiny(shapes)), as_task("detection")
    monkeypatch.setattr("stillroom.runs.lineup.untrained", lambda *_, **__: 0.25)
    batches = list(data.spread(4, split="validation"))
    standing = Standing(teacher, trained=True, folder=None, check=check, where="teacher")
    findings = measured(standing, student, batches, task, data, torch.device("cpu"))
    chance = r"against 25\.0 % \(that of the same model untrained\)$"
    told = [re.search(f"^the teacher is no better than chance: AP50 .* {chance}", found.seen) for found in findings]
    assert [found.severity for found in findings if found.severity == "error"] == ["error"] * check
    assert any(told) is check


class Watch(nn.Linear):
    """Counts how often it starts anew."""

    starts = 0

    def reset_parameters(self) -> None:
        super().reset_parameters()
        Watch.starts += 1


def test_every_part_starts_anew_and_inside_of_a_seat_too(shapes, monkeypatch):
    network = nn.Sequential(nn.Sequential(Watch(2, 2)), Watch(2, 2))
    seen = []

    def told(model, *_, **__) -> Evaluation:
        seen.append([parameter.clone() for parameter in _inside(model).parameters()])
        return Evaluation([0.1, 0.3, 0.2][len(seen) % 3], 0.0, 4, 0.0)

    monkeypatch.setattr("stillroom.runs.untrained.evaluate", told)
    data, task = make_data(tiny(shapes)), as_task("detection")
    for model in (network, Teacher(network)):
        Watch.starts = 0
        assert untrained(model, data, task=task, device=torch.device("cpu")) == 0.3  # the best of three
        assert Watch.starts == 6
    assert all(not torch.equal(one[0], network[0][0].weight) for one in seen)
    assert not torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][0], seen[3][0])


def _inside(model: nn.Module) -> nn.Module:
    return model.network if isinstance(model, Teacher) else model


def test_what_cannot_start_anew_is_not_measured(shapes, monkeypatch):
    monkeypatch.setattr(
        "stillroom.runs.untrained.evaluate", lambda *_, **__: pytest.fail("there is nothing to measure")
    )
    data, task = make_data(tiny(shapes)), as_task("detection")
    assert untrained(nn.Identity(), data, task=task, device=torch.device("cpu")) == 0.0
