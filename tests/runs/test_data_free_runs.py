"""Runs of recipes without training data: they resume to the bit, and leave samples of their generator."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml
from PIL import Image
from tiny_runs import refused, results, rows, same_bits, weights

from stillroom.runs import load, read_recipe
from stillroom.runs.checkpoints import Checkpoints, read_checkpoint
from stillroom.runs.compare import compare_recipe
from stillroom.runs.samples import write_samples
from stillroom.runs.train import make_data, make_job, resume, train
from stillroom.runs.use import classify, evaluate_source

KINDS = ["dafl", "dfad", "zskt"]
WORDS = (
    "student.width=2",
    "trainer.max_epochs=2",
    "trainer.progress=false",
    "trainer.log_every=2",
    "trainer.checkpoint_every=1",
    "data.steps=5",
    "data.batch_size=8",
    "scheduler={class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 2}}",
    "algorithm.generator_scheduler={class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 2}}",
)


def recipe(kind: str, *words: str, teacher: str | None = None):
    steps = () if kind == "dafl" else ("algorithm.student_steps=2",)
    return read_recipe(f"digits-{kind}", [*WORDS, *steps, *words], teacher=teacher)


@pytest.fixture
def teacher(here):
    """A trained one that the tests of runs share."""
    return str(next((here / "runs" / "teachers").iterdir()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_equals_the_unbroken_one(kind, teacher, tmp_path):
    """Student, generator, both optimizers, both schedules, metrics and samples."""
    train(recipe(kind, teacher=teacher), out=tmp_path / "unbroken")
    folder = tmp_path / "stopped"
    shutil.copytree(tmp_path / "unbroken", folder)
    for name in ("results.json", "model.json", "model.safetensors", "report.html", "samples.png", "metrics.csv"):
        (folder / name).unlink()
    resume(folder / "checkpoints" / "epoch-1.ckpt")
    compare(tmp_path / "unbroken", folder)


@pytest.mark.parametrize("kind", KINDS)
def test_and_so_does_one_that_was_stopped_within_an_epoch(kind, teacher, tmp_path, monkeypatch):
    train(recipe(kind, teacher=teacher), out=tmp_path / "unbroken")
    hook = Checkpoints.on_train_batch_end

    def stop(self, trainer, pl_module, outputs, batch, batch_idx):
        hook(self, trainer, pl_module, outputs, batch, batch_idx)
        if (trainer.current_epoch, batch_idx) == (1, 2):
            raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", stop)
        with pytest.raises(RuntimeError, match="the power is gone"):
            train(recipe(kind, "trainer.checkpoint_seconds=0", teacher=teacher), out=tmp_path / "stopped")
    assert read_checkpoint(tmp_path / "stopped" / "checkpoints" / "last.ckpt")["global_step"] == 8
    resume(tmp_path / "stopped")
    compare(tmp_path / "unbroken", tmp_path / "stopped")


def compare(one, other):
    assert weights(one) == weights(other)
    assert rows(one) == rows(other)
    assert (one / "samples.png").read_bytes() == (other / "samples.png").read_bytes()
    states = [read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (one, other)]
    assert_equal(*(state["generation"] for state in states))
    assert states[0]["generation"]["scheduler"]["last_epoch"] in (4, 5, 10)


def assert_equal(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


def test_what_a_run_leaves(teacher, tmp_path):
    run = train(recipe("zskt", teacher=teacher), out=tmp_path / "run")
    with Image.open(tmp_path / "run" / "samples.png") as image:
        assert image.size == (73, 73)  # eight images of eight pixels, and lines between them
        assert len(set(image.convert("L").tobytes())) > 50
    assert 'src="data:image/png;base64,' in (tmp_path / "run" / "report.html").read_text()
    found = results(tmp_path / "run")
    assert (found["steps"], found["validation"]["last"]["epoch"]) == (10, 2)
    assert found["teacher"]["teacher"]["test"]["accuracy"] > 0.3
    assert set(rows(tmp_path / "run")[0]) >= {"kl", "stem", "layer1", "layer2", "generator"}
    assert rows(tmp_path / "run")[0]["generator_share"] == "0.0"
    assert same_bits(load(tmp_path / "run"), run.model)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"]["init_args"]["validation"]["class_path"] == "stillroom.data.Digits"
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_its_student_is_evaluated_and_asked_as_any_other(teacher, tmp_path):
    train(recipe("dfad", teacher=teacher), out=tmp_path / "run")
    found = evaluate_source(tmp_path / "run")
    assert (found.count, found.accuracy) == (300, results(tmp_path / "run")["test"]["last"]["accuracy"])
    Image.new("L", (8, 8), 200).save(tmp_path / "digit.png")
    assert len(classify(tmp_path / "run", [tmp_path / "digit.png"], top=3)[0].classes) == 3


def test_no_data_at_all(teacher, tmp_path):
    """Nothing is measured, and the teacher is not asked how good it is."""
    run = train(recipe("dfad", "data.validation=null", teacher=teacher), out=tmp_path / "run")
    assert (run.results.test, run.results.validation) == (None, None)
    assert (tmp_path / "run" / "samples.png").is_file()
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["algorithm.generator.init_args.image_size=16"],
            "algorithm.generator: the generator's images are not like those of the data; "
            "expected images of shape (1, 8, 8), got (1, 16, 16). Set its image_size and channels.",
        ),
        (
            ["algorithm.generator.init_args.image_size=6"],
            "algorithm: bad image_size; expected a multiple of 4, since the maps double twice, got 6.",
        ),
        (["algorithm.feature=pol"], "algorithm.feature: SmallCNN has no module 'pol'. Did you mean 'pool' "),
        (["task_weight=1"], "task_weight: generated images have no labels; expected 0, got 1.0."),
        (["data.shape=[1,9,9]"], "shape: noise of this shape cannot stand for the images that the student is"),
        (["algorithm.entropies=1"], "algorithm: DAFL has no argument 'entropies'. Did you mean 'entropy' "),
    ],
)
def test_what_is_refused_before_the_teacher_is_trained(words, message, tmp_path):
    """Nothing is written."""
    refused(tmp_path, message, lambda: train(recipe("dafl", *words), out="run"))


def test_the_generator_draws_its_weights_from_the_seed(tmp_path):
    """Not from what was drawn before, and not as the student does."""

    def generator(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(seed + 5)
        wanted = recipe("dfad").with_seed(seed)
        return make_job(wanted, make_data(wanted), tmp_path, "distilled").algorithm.keywords["generator"].state_dict()

    one, again, other = generator(1), generator(1), generator(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["start.0.weight"], other["start.0.weight"])


def test_the_picture_of_the_samples(tmp_path):
    """From black to white whatever the range, in colours where there are three channels; of nothing else a file."""

    def write(images):
        write_samples(SimpleNamespace(samples=lambda _: images), tmp_path)
        return Image.open(tmp_path / "samples.png") if (tmp_path / "samples.png").exists() else None

    assert write(None) is None
    assert write(torch.zeros(64, 2, 4, 4)) is None
    coloured = torch.zeros(64, 3, 4, 4)
    coloured[0], coloured[63, 0] = -7.0, 3.0
    with write(coloured) as image:
        assert image.size == (41, 41)
        assert image.getpixel((1, 1)) == (0, 0, 0)
        assert image.getpixel((39, 39)) == (255, 179, 179)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


@pytest.mark.usefixtures("away")
def test_there_is_no_student_alone_to_compare_with(tmp_path):
    message = (
        "algorithm: a student alone has no labels to learn from here; got stillroom.algorithms.DFAD. "
        "Train it without a comparison: stillroom train."
    )
    refused(tmp_path, message, lambda: compare_recipe(recipe("dfad"), seeds=1, out="both"))
