"""``key=value`` words: what they reach, and what they refuse."""

import pytest

from stillroom.errors import StillroomError
from stillroom.runs.overrides import overridden

RECIPE = {
    "student": {"class_path": "torchvision.models.resnet18", "init_args": {"num_classes": 10, "weights": None}},
    "teacher": {"model": "SmallCNN", "trainer": {"max_epochs": 5}},
    "data": "Digits",
    "terms": {"kl": {"loss": {"class_path": "KLDivergence", "init_args": {"tau": 4.0}}, "weight": 1.0}},
    "trainer": {"max_epochs": 5},
}


def refusal(*words):
    with pytest.raises(StillroomError) as caught:
        overridden(RECIPE, words)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("a b", "a b"),
        ("[0, 1]", [0, 1]),
        ("{a: 1}", {"a": 1}),
        ("x=y", "x=y"),
    ],
)
def test_values_are_yaml(text, value):
    assert overridden(RECIPE, [f"seed={text}"])["seed"] == value


def test_the_original_stays_as_it_was():
    overridden(RECIPE, ["trainer.max_epochs=9", "terms.kl.loss.tau=1", "terms.kl=null"])
    assert RECIPE["trainer"] == {"max_epochs": 5}
    assert RECIPE["terms"]["kl"]["loss"]["init_args"] == {"tau": 4.0}


def test_a_dotted_key_makes_what_is_missing():
    assert overridden({}, ["trainer.max_epochs=3"]) == {"trainer": {"max_epochs": 3}}
    assert overridden({}, ["terms.kl.loss=L2"]) == {"terms": {"kl": {"loss": "L2"}}}


@pytest.mark.parametrize("key", ["student.num_classes", "student.init_args.num_classes"])
def test_an_argument_may_stand_without_init_args(key):
    assert overridden(RECIPE, [f"{key}=3"])["student"]["init_args"]["num_classes"] == 3


def test_a_class_by_name_alone_takes_arguments():
    found = overridden(RECIPE, ["data.root=/d", "teacher.model.width=3", "terms.kl.loss.tau=2"])
    assert found["data"] == {"class_path": "Digits", "init_args": {"root": "/d"}}
    assert found["teacher"]["model"] == {"class_path": "SmallCNN", "init_args": {"width": 3}}
    assert found["terms"]["kl"]["loss"]["init_args"] == {"tau": 2}


def test_words_apply_in_order():
    words = ["student.class_path=torchvision.models.vgg11", "student.dropout=0.2", "student.dropout=0.3"]
    assert overridden(RECIPE, words)["student"]["init_args"] == {"num_classes": 10, "weights": None, "dropout": 0.3}


def test_a_new_class_keeps_the_arguments_that_it_accepts():
    found = overridden(RECIPE, ["student.class_path=SmallCNN"])["student"]
    assert found == {"class_path": "SmallCNN", "init_args": {"num_classes": 10}}


def test_a_whole_section_is_replaced():
    assert overridden(RECIPE, ["student=SmallCNN"])["student"] == "SmallCNN"
    assert overridden(RECIPE, ["terms={}"])["terms"] == {}


def test_a_term_is_taken_out():
    assert overridden(RECIPE, ["terms.kl=null"])["terms"] == {}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed", "-o: an override is key=value; got 'seed'."),
        ("=3", "-o: an override is key=value; got '=3'."),
        ("seed=[1", "-o seed: the value is no YAML; got '[1'."),
        ("seed={a: b: c}", "-o seed: the value is no YAML; got '{a: b: c}'."),
        ("trainer.max_epochs.x=3", "-o trainer.max_epochs.x: trainer.max_epochs is 5, not a mapping."),
        ("student.num_classes.x=3", "-o student.num_classes.x: student.num_classes is 10, not a mapping."),
        ("terms.kl.weight.end=3", "-o terms.kl.weight.end: terms.kl.weight is 1.0, not a mapping."),
        ("terms.kll=null", "-o terms.kll: there is no term 'kll'. Did you mean 'kl'?"),
    ],
)
def test_refusals(word, message):
    assert refusal(word) == message


def test_a_misspelt_class_is_found_at_once():
    assert refusal("student.class_path=SmallCN").startswith("student: there is no 'SmallCN' in stillroom.models. Did")
    assert refusal("teacher.model.class_path=SmallCN").startswith("teacher.model: there is no 'SmallCN'")
    assert refusal("terms.kl.loss.class_path=L3").startswith("terms.kl.loss: there is no 'L3' in stillroom.losses. Did")
