"""A teacher that is itself the student of another recipe: assistants, generations, and chains that lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import refused, results, same_bits

from stillroom.runs import read_recipe, train
from stillroom.runs.load import load

LINK = """
student: {{class_path: SmallCNN, init_args: {{num_classes: 10, in_channels: 1, width: {width}}}}}
teacher: {teacher}
data: {{class_path: Digits, init_args: {{batch_size: 64}}}}
terms: {{kl: {{loss: KLDivergence}}}}
optimizer: {{class_path: SGD, init_args: {{lr: 0.05, momentum: 0.9}}}}
trainer: {{max_epochs: {epochs}, progress: false}}
"""


def link(name: str, teacher: str, *, width: int = 8, epochs: int = 2) -> str:
    Path(f"{name}.yaml").write_text(LINK.format(width=width, teacher=teacher, epochs=epochs))
    return f"{name}.yaml"


@pytest.mark.usefixtures("away")
def test_a_chain_of_three() -> None:
    """The teacher teaches the assistant, and what comes of that the student; a second run trains neither again."""
    link("teacher", "null", width=8)
    text = Path("teacher.yaml").read_text()
    Path("teacher.yaml").write_text(text.replace("terms: {kl: {loss: KLDivergence}}", ""))
    link("assistant", "teacher.yaml", width=6)
    run = train(read_recipe(link("student", "assistant.yaml", width=2, epochs=1)), out="run")
    kept = {path.name.rpartition("-")[0]: path for path in Path("runs/teachers").iterdir()}
    assert kept.keys() == {"teacher", "assistant"}
    assert run.results.teacher["teacher"].folder == str(kept["assistant"])
    assert results(kept["assistant"])["teacher"]["teacher"]["folder"] == str(kept["teacher"])
    assert load(kept["assistant"]).fc.in_features == 12
    assert results(kept["teacher"])["teacher"] == {}
    before = {path: (path / "results.json").read_bytes() for path in kept.values()}
    again = train(read_recipe("student.yaml"), out="again")
    assert same_bits(again.model, run.model)
    assert {path: (path / "results.json").read_bytes() for path in Path("runs/teachers").iterdir()} == before


@pytest.mark.parametrize(
    ("first", "second", "chain"),
    [
        ("own.yaml", "null", "own -> own"),
        ("other.yaml", "own.yaml", "other -> own -> other"),
        ("other.yaml", "other.yaml", "other -> other"),
    ],
)
def test_a_circle(first: str, second: str, chain: str, away: Path) -> None:
    link("own", first)
    link("other", second)
    message = (
        f"teacher: these recipes are each other's teachers, and none can be trained first; got {chain}. "
        "Give the last one another teacher, or null."
    )
    refused(away, message, lambda: train(read_recipe("own.yaml"), out="run"))


def test_a_link_that_is_not_there(away: Path) -> None:
    link("student", "assistant.yaml")
    link("assistant", "nobody")
    message = "the recipe assistant: teacher: there is no teacher 'nobody'; expected a recipe, a run folder, a check"
    refused(away, message, lambda: train(read_recipe("student.yaml"), out="run"))
    link("assistant", "nobody.yaml")
    message = "the recipe assistant: teacher: there is no such recipe file; got nobody.yaml."
    refused(away, message, lambda: train(read_recipe("student.yaml"), out="run"))
