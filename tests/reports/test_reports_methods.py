"""The table of the losses is found from their classes."""

from __future__ import annotations

import re
from functools import cache

import pytest
from torch import nn

from stillroom import connectors, losses
from stillroom.errors import StillroomError
from stillroom.reports.methods import HEADER, explanation, markdown, methods, rows


@cache
def table() -> dict[str, dict[str, str]]:
    return {found[0]: dict(zip(HEADER, found, strict=True)) for found in rows()}


def row(name: str) -> dict[str, str]:
    return table()[name]


def test_every_exported_loss_is_there_once():
    exported = [getattr(losses, name) for name in losses.__all__]
    modules = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, nn.Module)}
    assert set(methods().values()) == modules
    assert [found[0] for found in rows()] == list(methods())
    assert len(markdown().splitlines()) == len(modules) + 2


def test_they_are_ordered_by_their_kind():
    kinds = [found[1] for found in rows()]
    assert kinds == sorted(kinds, key=["logits", "features", "relations", "dense prediction", "generated data"].index)
    assert len(set(kinds)) == 5


def test_recipes_with_a_loss_are_found_in_their_terms_and_in_those_of_their_variants():
    assert re.fullmatch(r"[a-z0-9-]+, [a-z0-9-]+ and \d+ more", row("KLDivergence")["recipes"])
    assert row("CRD")["recipes"] == "cifar100-method, digits-method"
    assert row("OneHotLike")["recipes"] == "-"


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("KLDivergence", "teacher"),
        ("DKD", "teacher, labels"),
        ("VirtualTeacher", "labels"),
        ("OneHotLike", "-"),
        ("PKD", "teacher"),
    ],
)
def test_what_a_loss_needs_is_read_from_its_signature(name: str, needs: str):
    assert row(name)["needs"] == needs


def test_connectors_of_both_sides():
    assert row("L2")["usual connector"] == "ConvRegressor or Conv1x1"
    assert row("FactorTransfer")["usual connector"] == "Translator; teacher: Paraphraser"
    assert row("DIST")["usual connector"] == "-"


@pytest.mark.parametrize("name", methods())
def test_usual_connectors_exist(name: str):
    for connector in re.findall(r"\w*[A-Z]\w*", row(name)["usual connector"]):
        assert issubclass(getattr(connectors, connector), nn.Module)


def test_an_explanation_has_arguments_text_and_row():
    text = explanation("DKD")
    assert text.startswith("DKD(tau=4.0, alpha=1.0, beta=8.0)\n\n")
    assert "\nShape:\n" in text
    assert "\nneeds:           teacher, labels\n" in text


def test_an_unknown_loss():
    with pytest.raises(StillroomError, match=r"^there is no loss 'dkd'\. Did you mean 'DKD'"):
        explanation("dkd")
