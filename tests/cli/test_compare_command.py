"""``stillroom compare`` and ``stillroom demo``."""

import json
import shutil

import pytest
from words_said import TINY, refused, said, usage

from stillroom.cli import demo


def test_it_says_what_came_out(here):
    shutil.rmtree(here / "again", ignore_errors=True)
    shutil.copytree(here / "comparison", here / "again")
    (here / "again" / "results.json").unlink()
    status, out, complaint = said("compare", "-r", "again")
    assert (status, complaint) == (0, "")
    for text in ("teacher", "alone", "distilled", "Run folder: again\n", "Report: again/report.html\n"):
        assert text in out
    rows = json.loads((here / "again" / "results.json").read_text())["rows"]
    assert f"{100 * rows[1]['last']['mean']:.2f}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "which recipe?; expected -c RECIPE, or -r RUN."),
        ("-c digits --seeds 0", "seeds: a comparison needs seeds; expected at least 1, got 0."),
        ("-c digits -o terms={}", "terms: there is nothing to compare: nothing is distilled."),
        ("-c digits --out run", "run: this folder exists already. Resume it with -r, or choose another --out."),
        (
            "-c digits -o student.num_classes=7",
            "student: the model's classes are not the data's; expected logits (N, 10)",
        ),
        ("-r comparison", "comparison: this run has ended already. See its report.html."),
        ("-r comparison --seeds 2", "--seeds: -r goes on with a comparison as it was begun; got 2."),
        ("-r comparison -o seed=2", "-o: -r goes on with a comparison as it was begun; got ['seed=2']."),
        ("-r comparison -c digits", "-r goes on with a run as it was begun; -c cannot change it; got digits."),
        ("-r none", "none: this is no run folder; expected a folder with config.yaml."),
    ],
)
def test_refusals(here, words, message):
    assert refused(here, "compare", *words.split()).startswith(message)


def test_a_number_of_seeds_that_is_none():
    assert usage("compare", "-c", "digits", "--seeds", "x").endswith("argument --seeds: invalid int value: 'x'")


def test_the_demo(here, monkeypatch):
    shutil.rmtree(here / "shown", ignore_errors=True)
    monkeypatch.setattr(demo, "SEEDS", 1)
    status, out, complaint = said("demo", "-o", *TINY, "--out", "shown")
    assert (status, complaint) == (0, "")
    assert out.startswith("Recipe 'digits': a teacher, then a small student alone and distilled, 1 seeds each.\n")
    assert "distilled" in out
    assert (here / "shown" / "distilled-0" / "model.safetensors").read_bytes() == (
        here / "comparison" / "distilled-0" / "model.safetensors"
    ).read_bytes()


def test_the_demo_takes_no_recipe(here):
    message = "run: this folder exists already. Resume it with -r, or choose another --out."
    assert refused(here, "demo", "--out", "run") == message
    assert usage("demo", "-c", "digits") == "stillroom demo: error: unrecognized arguments: -c digits"
    assert refused(here, "demo", "-o", "nme=1").startswith("recipe: unknown key 'nme'. Did you mean 'name'")
