"""``stillroom train``."""

import re
import shutil

import pytest
from words_said import TINY, refused, said


def test_it_says_what_was_made(here):
    words = [word for word in TINY if word != "trainer.progress=false"]
    status, out, complaint = said("train", "-c", "digits", "-o", *words)
    assert status == 0
    folder = re.search(r"^Run folder: (runs/digits-\d{8}-\d{6}.*)$", out, re.MULTILINE)[1]
    assert f"Report: {folder}/report.html" in out
    assert re.search(r"test accuracy, last epoch +\d+\.\d\d %, top-5 \d+\.\d\d % \(epoch 1\)", out)
    assert re.search(r"teacher: test accuracy +\d+\.\d\d %, top-5 \d+\.\d\d % \(epoch 2\)", out)
    assert re.fullmatch(r"\S+: epoch 1/1  validation \d+\.\d\d %  \d+\.\d s\n", complaint)
    assert (here / folder / "model.safetensors").read_bytes() == (here / "run" / "model.safetensors").read_bytes()


def test_its_teacher_is_trained_once(here):
    (teacher,) = (here / "runs" / "teachers").iterdir()
    before = {path: path.stat().st_mtime_ns for path in teacher.rglob("*")}
    assert said("train", "-c", "digits", "-o", *TINY, "student.width=3", "--out", here / "other")[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in teacher.rglob("*")}


def test_a_recipe_of_ones_own(here, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((here / "run" / "config.yaml").read_text())
    assert said("train", "-c", path, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (here / "run" / "model.safetensors").read_bytes()


def test_another_teacher(here, tmp_path):
    (teacher,) = (here / "runs" / "teachers").iterdir()
    words = [word for word in TINY if not word.startswith("teacher.")]
    for given, out in (
        (teacher, "a"),
        (teacher / "checkpoints" / "last.ckpt", "b"),
        (teacher / "model.safetensors", "c"),
    ):
        assert said("train", "-c", "digits", "-t", given, "-o", *words, "--out", tmp_path / out)[0] == 0
        assert (tmp_path / out / "model.safetensors").read_bytes() == (here / "run" / "model.safetensors").read_bytes()


def test_resume(here, tmp_path):
    shutil.copytree(here / "run", tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    status, out, _ = said("train", "-r", tmp_path / "run", "-o", "trainer.max_epochs=2")
    assert status == 0
    assert "(epoch 2)" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "which recipe?; expected -c RECIPE, or -r RUN. `stillroom recipes` lists those that are shipped."),
        ("-c digit", "-c: there is no recipe 'digit'. Did you mean 'digits' or "),
        ("-c none.yaml", "-c: there is no such recipe file; got none.yaml."),
        ("-c run/results.json", "-c: there is no recipe 'run/results.json'; expected a name or a .yaml file."),
        ("-c digits -r run", "-r goes on with a run as it was begun; -c cannot change it; got digits."),
        ("-r run --out x", "-r goes on with a run as it was begun; --out cannot change it; got x."),
        ("-r run -t digits", "-r goes on with a run as it was begun; -t cannot change it; got digits."),
        ("-r run", "run: this run has ended already. See its report.html."),
        ("-r none", "none: this is no run folder; expected a folder with config.yaml."),
        (
            "-r run -o seed=3",
            "-o seed=3: this cannot be changed on the way; expected trainer.... , data.root or data.num_w",
        ),
        ("-c digits --out run", "run: this folder exists already. Resume it with -r, or choose another --out."),
        (
            "-c digits -t none",
            "teacher: there is no teacher 'none'; expected a recipe, a run folder, a checkpoint or a fil",
        ),
        ("-c digits -t none.pt", "teacher.weights: none.pt: there is no such file of weights."),
        (
            "-c digits -t run -o teacher.seed=3",
            "-o teacher.seed=3: -t stands in the place of the recipe's teacher; got ",
        ),
        ("-c digits -o =3", "-o: an override is key=value; got '=3'."),
        ("-c digits -o student.width=0", "student: bad width; expected 1 or more, got 0."),
        (
            "-c digits -o terms.kl.loss.tau=-1",
            "terms.kl.loss: tau is no temperature; expected tau > 0 and finite, got -1.",
        ),
        (
            "-c digits -o student.num_classes=7",
            "student: the model's classes are not the data's; expected logits (N, 10)",
        ),
    ],
)
def test_refusals(here, words, message):
    assert refused(here, "train", *words.split()).startswith(message)


@pytest.mark.usefixtures("here")
def test_a_training_that_diverges(tmp_path):
    status, out, complaint = said("train", "-c", "digits", "-o", *TINY, "optimizer.lr=1e30", "--out", tmp_path / "wild")
    assert (status, out) == (2, "")
    assert re.fullmatch(r"stillroom: terms\.kl: the loss is not finite; got (nan|inf)\. Look at .*\n", complaint)
    assert not (tmp_path / "wild").exists()
