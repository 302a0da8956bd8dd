"""Back from files to models."""

import json
import re
import shutil

import pytest
import torch
from tiny_runs import QUIET, Stripes, network, same_bits, trained_network

import stillroom as kd
from stillroom.models import SmallCNN
from stillroom.runs.load import find_source, rebuild
from stillroom.runs.use import data_of


@pytest.fixture(scope="module")
def of_objects(tmp_path_factory):
    out = tmp_path_factory.mktemp("o") / "run"
    return kd.distill(network(), trained_network(), Stripes(), Stripes(48), epochs=1, out=out, trainer=QUIET)


def refused(message, call):
    with pytest.raises(kd.StillroomError, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("source", ["run", "run/checkpoints/last.ckpt", "run/model.safetensors"])
def test_every_way_to_the_same_model(source):
    model = kd.load(source)
    assert isinstance(model, SmallCNN)
    assert not model.training
    assert same_bits(model, kd.load("run"))


@pytest.mark.usefixtures("here")
def test_into_a_model_of_ones_own():
    model = SmallCNN(width=2)
    assert kd.load("run", model) is model
    assert same_bits(model, kd.load("run"))


def test_a_checkpoint_of_a_run_that_has_not_ended(here, tmp_path):
    shutil.copytree(here / "run", tmp_path / "run", ignore=shutil.ignore_patterns("model.*", "results.json"))
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert same_bits(kd.load(path), kd.load(here / "run"))
    assert find_source(path).card.extra["data"]["class_path"] == "stillroom.data.Digits"
    message = (
        f"{tmp_path}/run: this folder holds no trained model; expected model.json. "
        f"Name a checkpoint: {tmp_path}/run/checkpoints/last.ckpt."
    )
    refused(message, lambda: kd.load(tmp_path / "run"))


@pytest.mark.parametrize("source", [".", "checkpoints/last.ckpt", "model.safetensors"])
def test_a_model_given_as_an_object_needs_one_again(of_objects, source):
    path = of_objects.folder / source
    refused(f"{path}: this model was given as an object, which no class path describes", lambda: kd.load(path))
    assert same_bits(kd.load(path, network(seed=5)), of_objects.model)


def test_another_model_does_not_take_the_weights(of_objects):
    with pytest.raises(
        kd.StillroomError, match=r"16 of 20 tensors have another shape in the file; expected stem\.0\.weight"
    ):
        kd.load(of_objects.folder, network(3))


def test_what_is_not_there(here, tmp_path):
    refused(
        "nope: there is no such file or folder; expected a run folder, a checkpoint in one, or", lambda: kd.load("nope")
    )
    shutil.copy(here / "run" / "model.safetensors", tmp_path / "bare.safetensors")
    message = f"{tmp_path}/bare.safetensors: nothing says which model these weights belong to; expected model.json"
    refused(message, lambda: kd.load(tmp_path / "bare.safetensors"))
    assert same_bits(kd.load(tmp_path / "bare.safetensors", SmallCNN(width=2)), kd.load(here / "run"))


def test_a_model_made_from_objects_has_no_data_that_can_be_named(of_objects):
    message = (
        f"{of_objects.folder}: nothing says which data this model was trained on. "
        "It was made from objects: evaluate, infer and export it in Python."
    )
    refused(message, lambda: data_of(find_source(of_objects.folder), ()))


@pytest.mark.parametrize(
    ("given", "got"), [(SmallCNN, f"{SmallCNN!r}."), ({"stem": 3}, "{'stem': 3}."), (network, "<function network")]
)
def test_what_is_no_model_takes_no_weights(of_objects, given, got):
    message = f"model: this is no model; expected an nn.Module, got {got}"
    refused(message, lambda: kd.load(of_objects.folder, given))


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/best.ckpt"])
def test_a_damaged_file(here, tmp_path, name):
    shutil.copytree(here / "run", tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(kd.StillroomError, match=f"^{re.escape(str(path))}: .*(damaged|sha256)"):
        kd.load(path if name.endswith("ckpt") else tmp_path / "run")


def test_a_card_of_a_class_that_is_gone(here, tmp_path):
    shutil.copytree(here / "run", tmp_path / "run")
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    (tmp_path / "run" / "model.json").write_text(json.dumps(card | {"class_path": "stillroom.models.SmalCNN"}))
    message = f"{tmp_path}/run: stillroom.models has no 'SmalCNN'. Did you mean 'SmallCNN'"
    refused(message, lambda: kd.load(tmp_path / "run"))


def test_weights_are_not_fetched_only_to_be_overwritten(here):
    card = find_source(here / "run").card
    given = {"class_path": "torchvision.models.resnet18", "init_args": {"weights": "IMAGENET1K_V1", "num_classes": 3}}
    changed = type(card)(given["class_path"], given["init_args"], card.weights, {})
    assert rebuild(changed, "run").fc.out_features == 3


def test_arguments_that_no_signature_names(here):
    card = find_source(here / "run").card
    changed = type(card)(
        "timm.create_model", {"model_name": "resnet10t"}, card.weights, {"dict_kwargs": {"num_classes": 3}}
    )
    assert rebuild(changed, "run").num_classes == 3


@pytest.mark.usefixtures("here")
def test_the_model_answers():
    assert kd.load("run")(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
