"""From a class path and its arguments to an object, and every way in which that can go wrong."""

import re
import sys
import textwrap

import pytest
import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.runs.build import accepts, spec

MODELS = "stillroom.models"


def refusal(given, *, where="student", home=MODELS, skip=()):
    with pytest.raises(StillroomError) as caught:
        spec(where, given, home=home, skip=skip).make()
    return str(caught.value)


def test_a_bare_name_is_looked_up_at_home():
    found = spec("student", "SmallCNN", home=MODELS)
    assert found.class_path == "stillroom.models.SmallCNN"
    assert found.plain() == {
        "class_path": "stillroom.models.SmallCNN",
        "init_args": {"num_classes": 10, "in_channels": 1, "width": 16},
    }
    assert found.make().fc.out_features == 10


def test_arguments_get_their_types():
    sgd = spec("optimizer", {"class_path": "SGD", "init_args": {"lr": "1e-3"}}, home="torch.optim", skip=("params",))
    assert sgd.arguments == {"lr": 0.001}
    assert sgd.make([nn.Parameter(torch.ones(1))]).defaults["lr"] == 0.001
    assert sgd.plain()["init_args"]["momentum"] == 0.0
    assert "params" not in sgd.plain()["init_args"]


def test_a_misspelt_key_of_a_mapping_in_an_argument_is_named():
    given = {"class_path": "VOC", "init_args": {"root": "x", "augmentation": {"szes": [320]}}}
    message = "data.augmentation: DetectionAugmentation has no argument 'szes'. Did you mean 'sizes'?"
    assert refusal(given, where="data", home="stillroom.data") == message
    given["init_args"]["augmentation"] = {"sizes": "large"}
    message = "data.augmentation: VOC refused this value; expected Sequence or NoneType, got {'sizes': 'large'}."
    assert refusal(given, where="data", home="stillroom.data") == message


def test_a_function_makes_a_model():
    given = {"class_path": "torchvision.models.resnet18", "init_args": {"num_classes": 7}}
    found = spec("student", given, home=MODELS)
    assert found.make().fc.out_features == 7
    assert found.plain()["init_args"]["weights"] is None


def test_what_it_wrote_it_reads_again():
    given = {"class_path": "torchvision.models.mobilenet_v2", "init_args": {"num_classes": 7}}
    written = spec("student", given, home=MODELS).plain()
    assert spec("student", written, home=MODELS).plain() == written


def test_untyped_keywords_pass_unchecked_and_are_written_apart():
    given = {
        "class_path": "timm.create_model",
        "init_args": {"model_name": "resnet10t"},
        "dict_kwargs": {"num_classes": 3},
    }
    found = spec("student", given, home=MODELS)
    assert found.make().num_classes == 3
    assert found.plain()["dict_kwargs"] == {"num_classes": 3}
    assert "num_classes" not in found.plain()["init_args"]
    assert spec("student", found.plain(), home=MODELS).plain() == found.plain()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "SmallCN",
            "student: there is no 'SmallCN' in stillroom.models. Did you mean 'SmallCNN'? A class of your own ",
        ),
        ("torchvision.models.resnet5", "student: torchvision.models has no 'resnet5'. Did you mean 'resnet50' or "),
        ("torchvisio.models.resnet18", "student: cannot import 'torchvisio.models' ('torchvisio' is not there); got "),
        (".models.resnet18", "student: this is no class path; expected package.module.Name, got '.models.resnet18'."),
        ("torch.relu", "student: torch.relu has no signature to check arguments against."),
        (None, 'student: class_path is missing; expected "Name", "package.Name" or {class_path: ..., init_args: ...}.'),
        (5, "student: this must be a mapping; got 5."),
        ({"class_path": 5}, 'student: class_path is missing; expected "Name"'),
        ({"clas_path": "SmallCNN"}, "student: unknown key 'clas_path'. Did you mean 'class_path'"),
        ({"class_path": "SmallCNN", "init_args": 3}, "student.init_args: this must be a mapping; got 3."),
    ],
)
def test_a_class_that_cannot_be_had(given, message):
    assert refusal(given).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widht": 3}, "student: SmallCNN has no argument 'widht'. Did you mean 'width'?"),
        ({"width": "abc"}, "student.width: SmallCNN refused this value; expected int, got 'abc'."),
        ({"width": 3.5}, "student.width: SmallCNN refused this value; expected int, got 3.5."),
        ({"width": True}, "student.width: SmallCNN refused this value; expected int, got True."),
        ({"width": [2]}, "student.width: SmallCNN refused this value; expected int, got [2]."),
        ({"width": 0}, "student: bad width; expected 1 or more, got 0."),
    ],
)
def test_an_argument_that_does_not_fit(arguments, message):
    assert refusal({"class_path": "SmallCNN", "init_args": arguments}) == message


def test_a_missing_argument():
    assert refusal("torch.nn.Linear") == "student: Linear needs the argument 'in_features'."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"in_features": -1, "out_features": 2},
            "Trying to create tensor with negative dimension -1",
        ),  # a RuntimeError
        ({"in_features": 2, "out_features": 2, "dtype": 5}, "dtype"),
    ],
)
def test_a_constructor_that_refuses_its_arguments(given, message):
    found = refusal({"class_path": "torch.nn.Linear", "init_args": given})
    assert found.startswith("student")
    assert message in found
    assert "\n" not in found


def test_a_module_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    (tmp_path / "my_own_nets.py").write_text(
        textwrap.dedent("""
        from torch import nn

        class Net(nn.Linear):
            def __init__(self, size: int = 3):
                super().__init__(size, size)
        """)
    )
    assert spec("student", "my_own_nets.Net", home=MODELS).make().in_features == 3


def test_whether_a_class_accepts_an_argument():
    assert accepts("student", "torchvision.models.vgg11", "num_classes")
    assert not accepts("student", "torchvision.models.vgg11", "width")
    with pytest.raises(StillroomError, match=re.escape("student: torchvision.models has no 'vgg'.")):
        accepts("student", "torchvision.models.vgg", "num_classes")


def test_what_is_nested_in_arguments_is_made_anew_each_time():
    """The seed of a run decides its weights, and no run goes on with the weights of another."""
    network = {"class_path": "stillroom.models.SmallCNN", "init_args": {"width": 2}}
    made = spec("student", {"class_path": "HiddenPatches", "init_args": {"network": network}}, home="stillroom.models")
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(made.make())
    same, other = (
        [torch.equal(a, b) for a, b in zip(models[0].parameters(), model.parameters(), strict=True)]
        for model in models[1:]
    )
    assert all(same) and not all(other)
    assert models[0].network is not models[1].network


def test_a_choice_of_torchvisions_weights_is_written_by_its_name():
    found = spec("m", {"class_path": "torchvision.models.resnet18", "init_args": {"weights": "IMAGENET1K_V1"}}, home="")
    assert found.plain()["init_args"]["weights"] == "IMAGENET1K_V1"
    assert spec("m", found.plain(), home="").arguments["weights"] is found.arguments["weights"]
