"""A training on two devices: Lightning starts the command a second time for the second one."""

import os
import subprocess
import sys

import pytest
import torch
from tiny_runs import results, rows

from stillroom.distillers import Distiller
from stillroom.runs import fit
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.evaluate import evaluate
from stillroom.runs.load import load
from stillroom.runs.recipe import read_recipe
from stillroom.runs.train import make_data, make_job


@pytest.fixture(scope="module")
def place(shop, tmp_path_factory):
    """Where a comparison was made by two processes, with what they said."""
    place = tmp_path_factory.mktemp("two")
    teacher = next((shop / "runs" / "teachers").iterdir())
    words = ["trainer.devices=2", "trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=3"]
    words += ["student.width=2", "scheduler=null", "data.num_workers=1", "trainer.log_every=1"]
    hint = "{loss: L2, student: layer2, teacher: layer2, connector: auto, weight: 0.1}"
    compare = [sys.executable, "-m", "stillroom", "compare", "-c", "digits", "--seeds", "1"]
    done = subprocess.run(
        [*compare, "-t", str(teacher), "-o", *words, f"terms.hint={hint}"],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place, done


def folder_of(place):
    (folder,) = (place / "runs").iterdir()
    return folder


def test_there_is_one_folder_and_one_report_of_it(place):
    folder = folder_of(place[0])
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"teacher", "alone-0", "distilled-0"}
    assert place[1].stdout.count("Run folder:") == 1
    assert "Traceback" not in place[1].stderr
    assert "stillroom:" not in place[1].stderr
    assert not list(place[0].rglob("*.part"))


@pytest.mark.parametrize("role", ["alone", "distilled"])
def test_the_two_were_in_step(place, role):
    folder = folder_of(place[0]) / f"{role}-0"
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 3
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    found = rows(folder)
    assert [row["phase"] for row in found] == ["step", "step", "step", "validation", "train"]
    assert results(folder)["cost"]["samples_per_second"] == pytest.approx(2 * 3 * 64 / results(folder)["seconds"])


def test_the_results_are_those_of_the_whole_sets(place):
    """Not of the share that one of the processes was given in training."""
    folder = folder_of(place[0]) / "distilled-0"
    data, found = make_data(read_recipe("digits")), results(folder)
    for split, batches in (("test", data.test_dataloader()), ("validation", data.val_dataloader())):
        measured = evaluate(load(folder), batches, task=torch.nn.CrossEntropyLoss())
        assert measured.count == 300
        assert found[split]["last"]["accuracy"] == measured.accuracy
        assert found[split]["last"]["loss"] == pytest.approx(measured.loss, rel=1e-6)
    (row,) = [row for row in rows(folder) if row["phase"] == "validation"]
    assert float(row["accuracy"]) == pytest.approx(found["validation"]["last"]["accuracy"])


ADAPTER = "{class_path: Conv1x1, init_args: {in_channels: 8, out_channels: 64}}"
CONNECTOR = f"{{loss: L2, student: layer2, teacher: layer2, connector: {ADAPTER}}}"


@pytest.mark.parametrize(
    ("words", "tolerant"),
    [
        ([], False),
        ([f"terms.hint={CONNECTOR}"], True),
        (["task_weight=0"], True),
        ([f"terms.hint={CONNECTOR}", "trainer.strategy=ddp"], False),
    ],
)
def test_parameters_that_may_go_without_a_gradient(tmp_path, words, tolerant):
    """A connector whose term stops, or a head behind the features that terms read: plain DDP would refuse them."""
    recipe = read_recipe("digits", ["trainer.devices=2", "trainer.accelerator=cpu", *words])
    job = make_job(recipe, make_data(recipe), tmp_path, "distilled")
    distiller = Distiller(job.student, recipe.teacher_recipe().student.make(), terms=dict(job.terms))
    trainer = fit._trainer(job, distiller, [])
    assert trainer.strategy._ddp_kwargs.get("find_unused_parameters", False) is tolerant
