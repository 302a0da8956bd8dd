"""Where a recipe's teacher comes from, and when it is refused."""

import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import TINY, files, results, same_bits, tiny, weights
from torch import nn

from stillroom.errors import StillroomError
from stillroom.runs.assess import assessed
from stillroom.runs.load import load
from stillroom.runs.recipe import read_recipe
from stillroom.runs.teachers import Training, trained_teachers
from stillroom.runs.train import make_data, train


class AskedError(Exception):
    """A teacher is to be trained: (recipe, folder)."""


def ask(recipe, folder):
    raise AskedError(recipe, folder)


def kept(place):
    return next((place / "runs" / "teachers").iterdir())


def teacher_of(recipe):
    training = Training(check=lambda *_: None, rehearse=lambda _: None, train=ask)
    return trained_teachers(recipe, make_data(recipe), training)["teacher"]


def test_it_is_trained_once_and_kept(here):
    folder = kept(here)
    assert folder.name == f"digits-{tiny().teacher_recipe().fingerprint()}"
    assert results(folder)["role"] == "teacher"
    before = files(folder)
    found = teacher_of(tiny("student.width=3", "optimizer.lr=0.01"))
    assert same_bits(found.network, load(folder))
    assert files(folder) == before


def test_what_the_run_says_of_it(here):
    said, own = results(here / "run")["teacher"]["teacher"], results(kept(here))
    assert said["folder"] == str(kept(here).relative_to(here))
    assert said["test"]["accuracy"] == own["test"]["last"]["accuracy"] > 0.5
    assert said["validation"]["accuracy"] == own["validation"]["last"]["accuracy"]


def test_another_teacher_is_another_folder(here):
    with pytest.raises(AskedError) as asked:
        teacher_of(tiny("teacher.seed=1"))
    recipe, folder = asked.value.args
    assert (recipe.seed, folder.parent) == (1, kept(here).parent.relative_to(here))
    assert folder.name != kept(here).name


def test_without_terms_no_teacher_is_trained(away):
    run = train(tiny("terms={}", "trainer.max_epochs=1"), out="alone")
    assert not (away / "runs").exists()
    assert (run.results.role, run.results.teacher) == ("alone", {})


@pytest.mark.usefixtures("here")
def test_a_run_folder():
    found = teacher_of(tiny(teacher="run"))
    assert same_bits(found.network, load("run"))
    assert found.facts.folder == "run"


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "model.safetensors"])
@pytest.mark.usefixtures("here")
def test_a_file_of_a_run(name):
    assert same_bits(teacher_of(tiny(teacher=f"run/{name}")).network, load("run"))


def test_the_best_checkpoint(here):
    path = kept(here) / "checkpoints" / "best.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    network = teacher_of(tiny(teacher=str(path))).network
    assert torch.equal(network.fc.weight, state["distiller.student.fc.weight"])


def test_another_recipe_is_trained_with_its_own_teacher(here, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        (here / "run" / "config.yaml").read_text().replace("name: digits", "name: mine")
    )
    with pytest.raises(AskedError) as asked:
        teacher_of(tiny(teacher=str(tmp_path / "mine.yaml")))
    recipe, folder = asked.value.args
    assert (recipe.student.init_args["width"], list(recipe.terms)) == (2, ["kl"])
    assert folder.name == f"mine-{recipe.fingerprint()}"


def test_weights_are_loaded_and_nothing_is_trained(here, away):
    shutil.copy(kept(here) / "model.safetensors", away / "bare.safetensors")
    shutil.copy(kept(here) / "checkpoints" / "last.ckpt", away / "bare.ckpt")
    named = [read_recipe("digits", TINY, teacher=f"bare.{kind}") for kind in ("safetensors", "ckpt")]
    for recipe in (tiny("teacher.weights=bare.safetensors"), *named):
        found = teacher_of(recipe)
        assert same_bits(found.network, load(kept(here)))
        assert found.folder is None
    assert not (away / "runs").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "nope",
            "teacher: there is no teacher 'nope'; expected a recipe, a run folder, a checkpoint or a file of weights.",
        ),
        (
            "digit",
            "teacher: there is no teacher 'digit'; expected a recipe, a run folder, a checkpoint or a file of weights",
        ),
        ("none.ckpt", "teacher.weights: none.ckpt: there is no such file of weights."),
        ("none.yaml", "teacher: there is no such recipe file; got none.yaml."),
        ("runs", "teacher: runs: this folder holds no trained model; expected model.json."),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_not_there(given, message):
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        teacher_of(tiny(teacher=given))


@pytest.mark.usefixtures("here")
def test_weights_that_are_not_there():
    with pytest.raises(StillroomError, match=r"^teacher\.weights: none\.pt: there is no such file of weights\.$"):
        teacher_of(tiny("teacher.weights=none.pt"))
    with pytest.raises(StillroomError, match=r"^teacher\.weights: a file from the network needs "):
        teacher_of(tiny("teacher.weights=https://example.org/w.pt"))


def test_weights_of_another_model(here):
    message = re.escape(
        f"teacher.weights: {here / 'run'}/model.safetensors into SmallCNN: 16 of 20 tensors have another "
    )
    with pytest.raises(
        StillroomError, match=f"^{message}.*stem.0.weight \\(8, 1, 3, 3\\).*stem.0.weight \\(2, 1, 3, 3\\)"
    ):
        teacher_of(tiny(f"teacher.weights={here / 'run' / 'model.safetensors'}"))


def test_weights_of_other_classes(here, tmp_path):
    tensors = load_file(kept(here) / "model.safetensors")
    tensors |= {"fc.weight": tensors["fc.weight"][:7], "fc.bias": tensors["fc.bias"][:7]}
    save_file(tensors, tmp_path / "seven.safetensors")
    with pytest.raises(
        StillroomError, match=r"2 of 20 tensors .*expected fc\.weight \(10, 16\), fc\.bias \(10,\), got"
    ):
        teacher_of(tiny(f"teacher.weights={tmp_path / 'seven.safetensors'}"))
    message = "teacher: the model's classes are not the data's; expected logits (N, 10) for Digits, got (2, 7)."
    words = [f"teacher.weights={tmp_path / 'seven.safetensors'}", "teacher.model.num_classes=7"]
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        teacher_of(tiny(*words))


def test_a_teacher_to_be_trained_of_other_classes(away):
    message = "teacher.model: the model's classes are not the data's; expected logits (N, 10) for Digits, got (8, 7)."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        train(tiny("teacher.model.num_classes=7"))
    assert not list(away.iterdir())


@pytest.mark.usefixtures("here")
def test_one_that_does_not_take_the_inputs():
    message = (
        r"^teacher: Linear does not take the data's inputs; expected a model of \(2, 1, 8, 8\), got RuntimeError: "
    )
    with pytest.raises(StillroomError, match=message):
        assessed(nn.Linear(3, 10), make_data(tiny()), task="cross_entropy")


def test_one_no_better_than_chance(here, tmp_path):
    model = load(kept(here))
    nn.init.zeros_(model.fc.weight)
    save_file(model.state_dict(), tmp_path / "blank.safetensors")
    recipe = tiny(f"teacher.weights={tmp_path / 'blank.safetensors'}")
    message = (
        r"^teacher: the teacher is no better than chance on the validation set; expected an accuracy above 10\.3 % "
        r"\(the share of the largest class\), got (8|9|10)\.\d % of 300 samples\. .* teacher\.check=false goes on all "
    )
    with pytest.raises(StillroomError, match=message):
        teacher_of(recipe)
    assert teacher_of(tiny(f"teacher.weights={tmp_path / 'blank.safetensors'}", "teacher.check=false")) is not None


def test_the_run_with_its_weights_is_the_run_with_its_recipe(here, tmp_path):
    """It makes no difference where the same teacher comes from."""
    shutil.copy(kept(here) / "model.safetensors", tmp_path / "bare.safetensors")
    run = train(tiny(f"teacher.weights={tmp_path / 'bare.safetensors'}"), out=tmp_path / "weighted")
    assert weights(run.folder) == weights(here / "run")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("terms.kl.teacher=layer9", "terms.kl.teacher: SmallCNN has no module 'layer9'. Did you mean 'layer2'"),
        (
            "terms.kl.loss=L2",
            "terms.a: student and teacher differ in shape; expected equal shapes, got student (8, 8, 2, 2)",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_the_teacher_is_trained(tmp_path, monkeypatch, word, message):
    monkeypatch.chdir(tmp_path)
    other = "terms.a={loss: L2, student: layer2, teacher: layer2}"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        train(tiny(word, other, "student.width=4"))
    assert not list(tmp_path.rglob("*"))
