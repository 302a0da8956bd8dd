"""``-o`` reads ``key=value`` words and no others."""

import pytest
from words_said import refused, usage

from stillroom.cli.words import with_overrides

SEED = "this must be a whole number from 0 to 4611686018427387903"


@pytest.mark.parametrize(
    ("words", "rest", "overrides"),
    [
        ("-o a=1 b=2 run", "run", "a=1 b=2"),
        ("run -o a=1 -c digits b=2", "run -c digits b=2", "a=1"),
        ("-o a=1 -o b=2", "", "a=1 b=2"),
        ("--override a=1 b=2", "", "a=1 b=2"),
        ("--override=a=1 b=2", "", "a=1 b=2"),
        ("-oa=1 b=2", "", "a=1 b=2"),
        ("-o=a=1", "", "a=1"),
        ("--out=x -o a=1", "--out=x", "a=1"),
        ("-o a=1 --out=x b=2", "--out=x b=2", "a=1"),
        ("-o a=1 -- -o b=2", "-- -o b=2", "a=1"),
        ("a=1", "a=1", ""),
    ],
)
def test_which_words_it_takes(words, rest, overrides):
    assert with_overrides(words.split()) == (rest.split(), overrides.split())


def test_a_value_keeps_its_spaces():
    assert with_overrides(["-o", "terms={kl: {loss: L2}}", "run"]) == (["run"], ["terms={kl: {loss: L2}}"])


@pytest.mark.parametrize("words", ["-o seed=-3", "-oseed=-3", "--override seed=-3", "--override=seed=-3", "-o=seed=-3"])
def test_every_way_to_say_it_reaches_the_recipe(away, words):
    assert refused(away, "train", "-c", "digits", *words.split()) == f"seed: {SEED}; got -3."


@pytest.mark.parametrize(
    ("words", "got"),
    [
        ("-c digits -o", "''"),
        ("-o -c digits", "'-c'"),
        ("-c digits --override trainer.max_epochs 10", "'trainer.max_epochs'"),
        ("-c digits -o seed=1 -o run a=1", "'run'"),
    ],
)
def test_an_o_without_a_word_is_refused(away, words, got):
    assert refused(away, "train", *words.split()) == f"-o: an override is key=value; got {got}."


def test_words_that_it_leaves_are_an_error():
    message = "stillroom train: error: unrecognized arguments: "
    assert usage("train", "-c", "digits", "-o", "seed=1", "10") == f"{message}10"
    assert usage("train", "digits") == f"{message}digits; did you mean -c digits?"
    assert usage("train", "-r", "run", "digts") == f"{message}digts"
    assert usage("train", "-c", "digits", "--over", "seed=3") == f"{message}--over seed=3"


def test_a_command_without_overrides():
    assert usage("recipes", "-o", "a=1") == "stillroom recipes: error: this command takes no -o (got a=1)"
    assert usage("report", "run", "-o", "a=1") == "stillroom report: error: this command takes no -o (got a=1)"
