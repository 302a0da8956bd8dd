"""The pairs of models that everybody knows."""

from __future__ import annotations

import pytest
import torch
import yaml
from expected_pairs import EXPECTED, Expected

from stillroom.diagnosis import suggest
from stillroom.diagnosis.adapting import said
from stillroom.distillers import Distiller
from stillroom.runs.terms import term_specs


def shapes(terms: dict) -> dict:
    """What is learned between the models."""
    return {
        name: [tuple(parameter.shape) for parameter in term.connector.parameters()]
        if isinstance(term.connector, torch.nn.Module)
        else term.connector
        for name, term in terms.items()
    }


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED.keys())
def test_the_pairs_are_those_that_a_reader_would_choose(expected: Expected) -> None:
    torch.manual_seed(0)
    student, teacher = expected.student(), expected.teacher()
    batch = torch.randn(2, 3, expected.size, expected.size)
    found = suggest(student, teacher, batch)
    assert [(pair.reason, pair.student.site, pair.teacher.site) for pair in found.pairs] == expected.pairs
    assert [said(pair.adapter.student) for pair in found.pairs] == expected.connectors
    assert {said(pair.adapter.teacher) for pair in found.pairs} == {expected.frozen or "none"}
    assert [bool(pair.flags) for pair in found.pairs] == [expected.flagged] * len(found.pairs)
    assert found.logits is not None
    assert found.notes == ()

    terms = found.terms()
    read = {name: spec.make() for name, spec in term_specs(yaml.safe_load(found.yaml())["terms"]).items()}
    assert shapes(read) == shapes(terms)
    assert {n: (t.student, t.teacher, t.is_tuple) for n, t in read.items()} == {
        n: (t.student, t.teacher, t.is_tuple) for n, t in terms.items()
    }
    distiller = Distiller(student, teacher, terms=read)
    distiller.prepare(batch)
    out = distiller(batch)
    assert out.losses.keys() == {"kl", *(pair.name for pair in found.pairs)}
    assert all(torch.isfinite(loss) for loss in out.losses.values())
