"""On from a run that was stopped."""

import shutil

import pytest
import torch
import yaml
from tiny_runs import refused, results, rows, tiny, weights

from stillroom.runs import conclude
from stillroom.runs.train import resume, train


@pytest.fixture
def stopped(here, tmp_path):
    """A copy of the run as a kill after the last epoch leaves it: all but what is written at the very end."""
    folder = tmp_path / "stopped"
    shutil.copytree(here / "run", folder)
    for name in ("results.json", "model.json", "model.safetensors", "report.html"):
        (folder / name).unlink()
    return folder


def test_a_run_stopped_before_its_end_is_concluded(here, stopped):
    run = resume(stopped)
    assert weights(stopped) == weights(here / "run")
    assert rows(stopped) == rows(here / "run")
    one, other = results(here / "run"), results(stopped)
    for key in ("epochs", "steps", "test", "validation", "teacher"):
        assert one[key] == other[key], key
    assert other["seconds"] == pytest.approx(one["seconds"], abs=0.2)
    assert run.model.training is False


def test_a_run_that_dies_in_its_judgement_has_not_ended(here, stopped, monkeypatch):
    def die(*_):
        raise RuntimeError("out of memory")

    (stopped / "judgement.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(conclude, "judge", die)
        with pytest.raises(RuntimeError, match="out of memory"):
            resume(stopped)
    assert not (stopped / "results.json").exists()
    resume(stopped)
    for name in ("judgement.json", "model.safetensors"):
        assert (stopped / name).read_bytes() == (here / "run" / name).read_bytes()
    (stopped / "report.html").unlink()  # as after a kill while it was written
    message = f"{stopped}: this run has ended already. Write its report: stillroom report {stopped}"
    refused(stopped, message, lambda: resume(stopped))


@pytest.mark.usefixtures("here")
def test_from_a_checkpoint_in_it(tmp_path):
    train(tiny("trainer.checkpoint_every=1"), out=tmp_path / "kept")
    (tmp_path / "kept" / "results.json").unlink()
    before = torch.load(tmp_path / "kept" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    resume(tmp_path / "kept" / "checkpoints" / "epoch-1.ckpt", ["trainer.max_epochs=1"])
    after = torch.load(tmp_path / "kept" / "checkpoints" / "epoch-1.ckpt", weights_only=True)["global_step"]
    assert (before, after, results(tmp_path / "kept")["steps"]) == (38, 19, 19)
    assert [row["phase"] for row in rows(tmp_path / "kept")].count("train") == 2  # the file of the longer training


def test_a_folder_without_a_checkpoint_starts_again(here, stopped):
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "metrics.csv").unlink()
    resume(stopped)
    assert weights(stopped) == weights(here / "run")
    assert rows(stopped) == rows(here / "run")


@pytest.mark.usefixtures("here")
def test_more_epochs_on_the_way(stopped, tmp_path):
    run = resume(stopped, ["trainer.max_epochs=3", "trainer.log_every=10"])
    assert run.results.epochs == 3
    assert yaml.safe_load((stopped / "config.yaml").read_text())["trainer"]["max_epochs"] == 3
    unbroken = train(tiny("trainer.max_epochs=3"), out=tmp_path / "unbroken")
    assert weights(stopped) == weights(unbroken.folder)


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        ("run", [], "run: this run has ended already. See its report.html."),
        ("run/checkpoints/best.ckpt", [], "run: this run has ended already."),
        ("nope", [], "nope: this is no run folder; expected a folder with config.yaml."),
        ("runs", [], "runs: this is no run folder; expected a folder with config.yaml."),
        (
            "run",
            ["seed=3"],
            "-o seed=3: this cannot be changed on the way; expected trainer.... , data.root or data.num_",
        ),
        (
            "run",
            ["teacher.trainer.max_epochs=3"],
            "-o teacher.trainer.max_epochs=3: this cannot be changed on the way;",
        ),
    ],
)
def test_what_cannot_be_resumed(here, source, words, message):
    refused(here, message, lambda: resume(source, words))


@pytest.mark.usefixtures("here")
def test_checkpoints_that_cannot_be_resumed_from(stopped):
    refused(
        stopped,
        f"{stopped}/checkpoints/none.ckpt: there is no such file or folder;",
        lambda: resume(stopped / "checkpoints/none.ckpt"),
    )
    (stopped / "checkpoints" / "last.ckpt").write_bytes(b"PK damaged")
    refused(stopped, f"{stopped}/checkpoints/last.ckpt: the checkpoint is damaged, cut short", lambda: resume(stopped))


@pytest.mark.usefixtures("here")
def test_an_override_that_means_nothing(stopped):
    message = "trainer: TrainerSettings has no argument 'max_epoch'. Did you mean 'max_epochs'?"
    refused(stopped, message, lambda: resume(stopped, ["trainer.max_epoch=3"]))
