"""One recipe for several ways: which sections count, and what is called how."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tiny_runs import TINY

from stillroom.errors import StillroomError
from stillroom.recipes import shipped
from stillroom.runs import Recipe, read_recipe

VARIANTS = {
    "kl": {"terms": {"method": {"loss": "KLDivergence", "weight": 2.0}}},
    "l2": {"terms": {"hint": {"loss": "L2"}}, "task_weight": 0.5},
    "named": {"name": "own", "teacher": None},
}


def written(folder: Path, variants: object = VARIANTS, **more: object) -> Path:
    digits = yaml.safe_load(shipped()["digits"].read_text())
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**digits, "variants": variants, **more}))
    return path


def test_the_sections_of_a_variant_replace_the_recipes(tmp_path: Path) -> None:
    path = written(tmp_path, variant="kl")
    kl, l2 = read_recipe(path), read_recipe(path, ["variant=l2"])
    assert (kl.name, list(kl.terms), kl.make_terms()["method"].weight(epoch=0, step=0)) == ("mine-kl", ["method"], 2)
    assert (l2.name, list(l2.terms), l2.task_weight) == ("mine-l2", ["hint"], 0.5)
    assert kl.task_weight == 1
    assert l2.student == kl.student or l2.student.plain() == kl.student.plain()
    assert read_recipe(path, ["variant=named"]).name == "own"
    assert read_recipe(path, ["variant=named"]).teacher is None


def test_words_change_the_variant_that_is_chosen_wherever_they_stand(tmp_path: Path) -> None:
    path = written(tmp_path, variant="kl")
    for words in (["variant=l2", "terms.hint.weight=3"], ["terms.hint.weight=3", "variant=kl", "variant=l2"]):
        assert read_recipe(path, words).make_terms()["hint"].weight(epoch=0, step=0) == 3


def test_what_is_written_of_it_runs_again_without_variants(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path), ["variant=l2"])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(recipe.plain()))
    assert read_recipe(again).plain() == recipe.plain()
    assert not {"variant", "variants"} & recipe.plain().keys()


def test_a_variant_does_not_change_the_teacher_that_the_recipe_trains(tmp_path: Path) -> None:
    path = written(tmp_path, {**VARIANTS, "short": {"trainer": {"max_epochs": 1}}})
    prints = {read_recipe(path, [f"variant={name}"]).teacher_recipe().fingerprint() for name in ("kl", "l2", "short")}
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("more", "words", "message"),
    [
        ({}, ["variant=lk"], "variant: there is no such variant; got 'lk'. Did you mean 'l2' or"),
        ({}, [], "variant: there is no such variant; got None. There are kl, l2, named."),
        ({"variant": 5}, [], "variant: there is no such variant; got 5."),
        ({"variants": None}, ["variant=kl"], "variant: the recipe 'mine' has no variants; got kl."),
        ({"variants": 5}, [], "variants: this must be a mapping; got 5."),
        ({"variants": {"kl": 5}}, ["variant=kl"], "variants.kl: this must be a mapping; got 5."),
        ({"variants": {"kl": {"trems": {}}}}, ["variant=kl"], "recipe: unknown key 'trems'. Did you mean 'terms'"),
    ],
)
def test_messages(tmp_path: Path, more: dict[str, object], words: list[str], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        read_recipe(written(tmp_path, **more), words)


# What the student starts with, and what is trained beside it


def method(*words: str) -> Recipe:
    return read_recipe("digits-method", [*TINY, *words])


def test_the_student_that_is_trained_alone_may_be_another() -> None:
    recipe = read_recipe("digits-method", ["variant=SimKD"])
    alone = recipe.without_teacher()
    assert recipe.student.class_path == "stillroom.models.SimKDStudent"
    assert alone.student.class_path == "stillroom.models.SmallCNN"
    assert (alone.task_weight, dict(alone.terms), dict(alone.inherit), alone.teacher) == (1.0, {}, {}, None)
    plain = read_recipe("digits-method", ["variant=KLDivergence"])
    assert plain.without_teacher().student == plain.student


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inherit={fc: 5}"], "inherit.fc: this is no module; expected the path of a module of the teacher, got 5."),
        (["inherit=5"], "inherit: this must be a mapping; got 5."),
        (["teacher=null", "terms={}", "inherit={fc: fc}"], "inherit: there is no teacher to inherit from; got {'fc'"),
        (["alone=SmallCN"], "alone: there is no 'SmallCN' in stillroom.models. Did you mean 'SmallCNN'"),
    ],
)
def test_what_cannot_be_inherited(words: list[str], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        read_recipe("digits", words)
