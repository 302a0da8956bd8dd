"""What a training refuses by itself, and how it is told not to."""

from __future__ import annotations

import re

import pytest
import torch
from tiny_runs import QUIET, Stripes, network, refused, tiny, trained_network

import stillroom as kd
from stillroom.runs.train import train

MESSAGE = (
    "terms.numb: its weight is 1, and nothing that the student learns has a part in its value (0.25). Choose a site of "
    "the student behind parameters that are trained, or take the term out. trainer.check=false skips this."
)


class Numb(torch.nn.Module):
    """A term that is only looked at."""

    def forward(self, student):
        return student.detach().sum() * 0 + 0.25


def distilled(**trainer):
    terms = {"kl": kd.Term(kd.losses.KLDivergence()), "numb": kd.Term(Numb())}
    options = {"epochs": 1, "batch_size": 32, "terms": terms, "out": "numb", "trainer": {**QUIET, **trainer}}
    return kd.distill(network(2), trained_network(), Stripes(), Stripes(24), **options)


def test_a_term_that_does_not_reach_the_student(away):
    refused(away, MESSAGE, distilled)
    assert distilled(check=False).results.steps == 3


def test_a_recipe_is_told_not_to_look(here):
    word = "terms.hint={loss: L2, student: 'stem:input', teacher: 'stem:input'}"
    start = "terms.hint: its weight is 1, and nothing that the student learns has a part in its value (0)."
    refused(here, start, lambda: train(tiny(word), out="refused"))
    assert train(tiny(word, "trainer.check=false", "trainer.max_epochs=1"), out="told").results.epochs == 1


class Unlabelled(Stripes):
    def __init__(self):
        super().__init__(24, labelled=False)


@pytest.mark.usefixtures("away")
def test_it_looks_at_what_is_trained_on():
    """The validation set may lack what a term needs."""
    options = {
        "epochs": 1,
        "terms": {"dkd": kd.Term(kd.losses.DKD())},
        "task_weight": 0.0,
        "out": "run",
        "trainer": QUIET,
    }
    assert kd.distill(network(2), trained_network(), Stripes(), Unlabelled(), **options).results.epochs == 1


@pytest.mark.usefixtures("away")
def test_what_is_only_likely_wrong_is_not_refused():
    terms = {"kl": kd.Term(kd.losses.KLDivergence(tau=1e4), weight=1e3)}
    options = {"epochs": 1, "terms": terms, "out": "run", "trainer": QUIET}
    assert kd.distill(network(2), trained_network(), Stripes(), Stripes(24), **options).results.epochs == 1


def test_a_kept_teacher_is_found_again_whatever_was_looked_at():
    for recipe in (tiny(), tiny("trainer.check=false", "teacher.trainer.check=false")):
        assert re.fullmatch(r"[0-9a-f]{8}", recipe.fingerprint())
    one, other = tiny(), tiny("trainer.check=false", "teacher.trainer.check=false")
    assert one.fingerprint() == other.fingerprint()
    assert one.teacher_recipe().fingerprint() == other.teacher_recipe().fingerprint()
    assert one.fingerprint() != tiny("trainer.max_epochs=3").fingerprint()
    assert other.plain()["trainer"]["check"] is False
    assert other.teacher["trainer"]["check"] is False


def test_the_value_is_true_or_false():
    with pytest.raises(kd.StillroomError, match=r"^trainer\.check: "):
        tiny("trainer.check=maybe")
