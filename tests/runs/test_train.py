"""From a recipe to a run folder."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import files, refused, results, rows, tiny, weights

from stillroom.errors import StillroomError
from stillroom.models import SmallCNN
from stillroom.runs.evaluate import evaluate
from stillroom.runs.folder import new_folder, unless_refused
from stillroom.runs.load import load
from stillroom.runs.recipe import read_recipe
from stillroom.runs.train import make_data, make_job, train


def test_what_a_run_leaves_behind(here):
    names = {name for name in files(here / "run") if not name.startswith("events.out.")}
    assert names == {
        "config.yaml",
        "metrics.csv",
        "model.safetensors",
        "model.json",
        "results.json",
        "judgement.json",
        "report.html",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
    }
    assert len(files(here / "run")) == len(names) + 1  # TensorBoard's


def test_the_weights_are_a_plain_models(here):
    plain = SmallCNN(width=2)
    plain.load_state_dict(load_file(here / "run" / "model.safetensors"), strict=True)
    card = json.loads((here / "run" / "model.json").read_text())
    assert card["class_path"] == "stillroom.models.SmallCNN"
    assert card["init_args"] == {"num_classes": 10, "in_channels": 1, "width": 2}
    assert card["extra"]["class_names"] == [str(digit) for digit in range(10)]
    assert card["extra"]["input_shape"] == [1, 8, 8]


def test_the_results_are_those_of_the_weights(here):
    data, found = make_data(tiny()), results(here / "run")
    for split, batches in (("test", data.test_dataloader()), ("validation", data.val_dataloader())):
        measured = evaluate(load(here / "run"), batches, task=torch.nn.CrossEntropyLoss())
        assert found[split]["last"]["accuracy"] == measured.accuracy
        assert found[split]["last"]["loss"] == pytest.approx(measured.loss, rel=1e-6)
    assert (found["epochs"], found["steps"], found["seed"], found["role"]) == (2, 38, 0, "distilled")
    assert found["cost"]["samples_per_second"] == pytest.approx(2 * 1197 / found["seconds"])


def test_the_validation_rows_are_what_picked_the_best_epoch(here):
    accuracies = [float(row["accuracy"]) for row in rows(here / "run") if row["phase"] == "validation"]
    best = results(here / "run")["validation"]["best"]
    assert best["epoch"] == accuracies.index(max(accuracies)) + 1
    assert best["accuracy"] == pytest.approx(max(accuracies))


def test_the_training_rows_add_up(here):
    for row in rows(here / "run"):
        if row["phase"] == "train":
            parts = float(row["kl_weighted"]) + float(row["task_weighted"])
            assert float(row["loss"]) == pytest.approx(parts, rel=1e-5)
            assert float(row["kl_share"]) + float(row["task_share"]) == pytest.approx(1)


def test_the_written_recipe_runs_again_to_the_same_bits(here, tmp_path):
    run = train(read_recipe(here / "run" / "config.yaml"), out=tmp_path / "again")
    assert weights(run.folder) == weights(here / "run")
    assert rows(run.folder) == rows(here / "run")
    assert (run.folder / "config.yaml").read_bytes() == (here / "run" / "config.yaml").read_bytes()


def test_another_seed_is_another_student(here, tmp_path):
    run = train(tiny("trainer.max_epochs=1", "seed=1"), out=tmp_path / "other")
    assert weights(run.folder) != weights(here / "run")


def test_alone_and_distilled_start_from_the_same_weights(here):
    made = [make_job(recipe, make_data(recipe), here, "alone").student for recipe in (tiny(), tiny("terms={}"))]
    assert all(torch.equal(one, other) for one, other in zip(made[0].parameters(), made[1].parameters(), strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["student.num_classes=7"],
            "student: the model's classes are not the data's; expected logits (N, 10) for Digits, g",
        ),
        (
            ["student=torchvision.models.resnet18"],
            "student: ResNet does not take the data's inputs; expected a model of (8",
        ),
        (["student=pathlib.Path"], "student: this is no model; expected an nn.Module, got PosixPath("),
        (["data=stillroom.models.SmallCNN"], "data: this is no data module; got stillroom.models.SmallCNN."),
        (
            ["data.batch_size=0"],
            "data: a loader's number is out of range; expected batch_size >= 1, num_workers >= 0, got",
        ),
        (["optimizer.lr=-1"], "optimizer: torch.optim.SGD refused its arguments: Invalid learning rate: -1.0."),
        (
            ["scheduler={class_path: LinearLR, init_args: {start_factor: 5.0}}"],
            "scheduler: torch.optim.lr_scheduler.LinearLR refused its arguments: Starting multiplicative factor",
        ),
        (["task=BCELoss"], "task: the task loss failed; got ValueError: Using a target size (torch.Size([8])) that is"),
        (["trainer.accelerator=gpux"], "trainer: You selected an invalid accelerator name: `accelerator='gpux'`."),
        (["trainer.precision=bf17"], "trainer: Precision 'bf17' is invalid."),
        (["trainer.devices=0"], "trainer: `Trainer(devices=0)` value is not a valid input using cpu accelerator; got"),
        (
            ["teacher=null"],
            "terms.kl.teacher: this term needs a teacher, and the distiller has none. Give a teacher, or leave the "
            "term out (terms.kl=null in a recipe).",
        ),
        (
            ["data.limit_per_class=-3"],
            "data.limit_per_class: this is out of range; expected 1 or more, or none, got -3.",
        ),
        (["terms.kl.student=layer9"], "terms.kl.student: SmallCNN has no module 'layer9'. Did you mean 'layer2' or"),
        (
            ["terms.kl.student=layer1"],
            "terms.kl: student and teacher differ in shape; expected equal shapes, got student (",
        ),
        (["terms.task.loss=L2"], "terms.task: this name has a meaning in metrics.csv. Rename it."),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(here, words, message):
    refused(here, message, lambda: train(tiny(*words), out="never"))


def test_devices_that_are_not_there_are_refused_before_the_teacher_is_trained(away):
    with pytest.raises(StillroomError, match=r"^trainer: You selected an invalid accelerator name: ") as told:
        train(tiny("trainer.accelerator=gpux"))
    assert str(told.value).endswith(
        "; got trainer.accelerator=gpux, trainer.devices=1, trainer.strategy=auto, trainer.precision=32-true. "
        "trainer.accelerator=auto takes what there is."
    )
    assert not list(away.iterdir())


@pytest.mark.usefixtures("here")
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    with pytest.raises(
        StillroomError, match=r"^terms\.kl: the loss is not finite; got (nan|inf)\. Look at the learning"
    ):
        train(tiny("optimizer.lr=1e30"), out=tmp_path / "wild")
    assert not (tmp_path / "wild").exists()  # nothing was learned: the same command may run again
    (tmp_path / "wild").mkdir()
    (tmp_path / "wild" / "notes.txt").write_text("mine")
    for error in (StillroomError("refused"), KeyboardInterrupt()):
        for name, kept in (("wild", True), ("new", isinstance(error, KeyboardInterrupt))):
            with pytest.raises(type(error)), unless_refused(tmp_path / name):
                (tmp_path / name).mkdir(exist_ok=True)
                raise error
            assert (tmp_path / name).exists() == kept


@pytest.mark.usefixtures("away")
def test_alone_it_is_the_tasks_loss():
    with pytest.raises(
        StillroomError, match=r"^(task|validation): the loss is not finite; got (nan|inf)\. Look at the l"
    ):
        train(tiny("optimizer.lr=1e30", "terms={}"))


def test_a_folder_that_exists_is_refused(here):
    refused(
        here,
        "run: this folder exists already. Resume it with -r, or choose another --out.",
        lambda: train(tiny(), out="run"),
    )
    refused(here, "run/config.yaml: this folder exists already.", lambda: train(tiny(), out="run/config.yaml"))


def test_a_folder_that_cannot_be_made(here):
    refused(
        here, "run/config.yaml/x: the run folder cannot be made; got ", lambda: train(tiny(), out="run/config.yaml/x")
    )


def test_names_of_new_folders(away):
    first = new_folder("digits", None)
    assert re.fullmatch(r"digits-\d{8}-\d{6}", first.name)
    assert not first.exists()
    first.mkdir(parents=True)
    second = new_folder("digits", None)
    assert second != first
    (away / "empty").mkdir()
    assert new_folder("digits", away / "empty") == away / "empty"


def test_processes_launched_for_further_devices_find_the_folder_of_the_first(away, monkeypatch):
    chosen = new_folder("digits", None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert new_folder("digits", None) == chosen
    monkeypatch.delenv("STILLROOM_RUN")
    with pytest.raises(
        StillroomError, match=r"processes launched from outside cannot agree on a folder's name\. Give --out"
    ):
        new_folder("digits", None)
    assert str(new_folder("digits", away / "out")) == str(away / "out")


def test_a_training_on_fewer_devices_than_were_launched(here, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = "trainer.devices: all trainings of processes that were launched together must use all of them; expected 2"
    refused(here, message, lambda: train(tiny(), out="never"))


@pytest.mark.usefixtures("here")
def test_limits_of_batches(tmp_path):
    run = train(
        tiny("trainer.limit_train_batches=3", "trainer.limit_val_batches=1", "data.limit_per_class=20"),
        out=tmp_path / "run",
    )
    assert run.results.steps == 6
    assert run.results.cost.samples_per_second == pytest.approx(2 * 3 * 64 / run.results.seconds)
    with pytest.raises(
        StillroomError, match=r"^trainer: You requested to check 0\.0001 of the `train_dataloader` but 0\.0001"
    ):
        train(tiny("trainer.limit_train_batches=0.0001"), out=tmp_path / "none")


@pytest.mark.usefixtures("here")
def test_without_validation_the_last_epoch_is_the_best(tmp_path):
    run = train(tiny("trainer.limit_val_batches=0", "trainer.max_epochs=1"), out=tmp_path / "run")
    assert run.results.test.best == run.results.test.last
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


@pytest.mark.usefixtures("here")
def test_rows_of_steps(tmp_path):
    train(tiny("trainer.log_every=10", "trainer.max_epochs=1"), out=tmp_path / "run")
    found = rows(tmp_path / "run")
    assert [(row["phase"], row["step"]) for row in found] == [("step", "10"), ("validation", "19"), ("train", "19")]


@pytest.mark.usefixtures("here")
def test_an_inferred_connector_and_a_schedule(tmp_path):
    weight = "{class_path: Between, init_args: {weight: 0.1, stop: 1}}"
    hint = f"{{loss: L2, student: layer2, teacher: layer2, connector: auto, weight: {weight}}}"
    runs = [train(tiny(f"terms.hint={hint}"), out=tmp_path / name) for name in ("one", "two")]
    assert weights(runs[0].folder) == weights(runs[1].folder)
    shares = [row["hint_share"] for row in rows(runs[0].folder) if row["phase"] == "train"]
    assert float(shares[0]) > 0
    assert shares[1] == ""  # the term has ended
    SmallCNN(width=2).load_state_dict(load_file(runs[0].folder / "model.safetensors"), strict=True)
