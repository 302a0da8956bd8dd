"""``stillroom methods``."""

import pytest
import rich
from rich.console import Console
from words_said import refused, said, usage

from stillroom.losses import AttentionTransfer
from stillroom.reports.methods import HEADER, methods, rows


@pytest.mark.parametrize("columns", [80, 200])
def test_every_loss_has_a_row_and_nothing_is_cut(columns, monkeypatch):
    monkeypatch.setattr(rich, "_console", Console(width=columns))  # the one that rich.print keeps
    status, out, complaint = said("methods")
    assert (status, complaint) == (0, "")
    header, *lines = out.splitlines()
    assert header.split()[:3] == ["loss", "reads", "needs"]
    kinds = list(dict.fromkeys(row[HEADER.index("kind")] for row in rows()))
    titles = [line.strip() for line in lines if line.strip() in kinds]
    assert titles == kinds
    names = [line.split()[0] for line in lines if not line.startswith(" ") and line.strip() not in kinds]
    assert names == list(methods())
    shown = [place for place, name in enumerate(HEADER) if name not in ("kind", "costs", "recipes")]
    cells = [row[place] for row in (HEADER, *rows()) for place in shown] + kinds
    assert sorted("".join(out.split())) == sorted("".join("".join(cells).split()))
    assert max(map(len, lines)) <= columns


def test_a_row(monkeypatch):
    monkeypatch.setattr(rich, "_console", Console(width=300))
    (line,) = [line for line in said("methods")[1].splitlines() if line.startswith("ICKD ")]
    assert [cell.strip() for cell in line.split("  ") if cell.strip()] == [
        "ICKD",
        "map",
        "teacher",
        "Conv1x1",
        "Liu et al., ICCV 2021",
    ]


def test_one_loss():
    status, out, complaint = said("methods", "AttentionTransfer")
    assert (status, complaint) == (0, "")
    assert out.startswith("AttentionTransfer(p=2)\n\n")
    assert AttentionTransfer.__doc__.splitlines()[0] in out
    assert "\nrecipes:         cifar10-algorithm, cifar100-method and " in out
    assert out.endswith("paper:           Zagoruyko, Komodakis, ICLR 2017\n")
    assert said("methods", "ICKD")[1].startswith("ICKD()\n\n")


def test_as_markdown():
    status, out, complaint = said("methods", "--markdown")
    assert (status, complaint) == (0, "")
    assert {line.count("|") for line in out.splitlines()} == {9}
    cells = ["`DKD`", "logits", "logits", "teacher, labels", "-", "-", "cifar100-method, digits-method"]
    row = f"| {' | '.join(cells)} | Zhao et al., CVPR 2022 |"
    assert row in out.splitlines()


def test_refusals(away):
    assert refused(away, "methods", "similaritypreserve") == (
        "there is no loss 'similaritypreserve'. Did you mean 'SimilarityPreserving'?"
    )
    assert usage("methods", "DKD", "--markdown").endswith("argument --markdown: not allowed with argument NAME")
