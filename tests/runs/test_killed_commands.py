"""Commands that are killed again and again, and those that a signal asks to stop."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from killed_processes import command
from tiny_runs import TINY, results, rows, weights

from stillroom.runs.checkpoints import read_checkpoint

KILL, TERM, INT = int(signal.SIGKILL), int(signal.SIGTERM), int(signal.SIGINT)
EVERY_STEP = ("trainer.checkpoint_seconds=0", "teacher.trainer.checkpoint_seconds=0", "trainer.log_every=7")
BATCH = "stillroom.runs.history.History.on_train_batch_end"
TRAIN = [
    "train",
    "-c",
    "digits",
    "-o",
    *TINY,
    *EVERY_STEP,
    "data.limit_per_class=40",
    "--out",
    "run",
]  # 7 batches an epoch
COMPARE = ["compare", "-c", "digits", "-o", *TINY, *EVERY_STEP, "--out", "run", "--seeds", "1"]
TEACHER_BATCHES = 2 * 19


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    place = tmp_path_factory.mktemp("unbroken")
    assert command(place, TRAIN)[0] == 0
    return place


def teacher(place):
    return next((place / "runs" / "teachers").iterdir())


def comparable(folder):
    """results.json without what is measured by the clock."""
    found = results(folder)
    for key in ("date", "seconds", "cost"):
        del found[key]
    found["model"] = {k: v for k, v in found["model"].items() if not k.startswith("latency")}
    return found


def test_killed_many_times_it_ends_as_the_unbroken_one(unbroken, tmp_path):
    begin = [
        (BATCH, 3),  # of the teacher, before its first checkpoint is old
        (BATCH, 30),
        ("stillroom.runs.conclude.write", 1),  # the teacher's results
        ("stillroom.runs.fit.write_config", 1),  # the student's folder is not there yet
        ("stillroom.runs.history.History.on_train_start", 1),  # it holds no checkpoint yet
    ]
    for place, which in begin:
        assert command(tmp_path, TRAIN, (place, which, KILL))[0] == -KILL, place
    assert weights(teacher(tmp_path)) == weights(teacher(unbroken))
    assert rows(teacher(tmp_path)) == rows(teacher(unbroken))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]
    on = [
        (BATCH, 1),
        (BATCH, 4),
        ("stillroom.runs.checkpoints._seal", 2),
        ("stillroom.runs.history.History.on_validation_end", 1),
        ("stillroom.runs.checkpoints.Checkpoints.on_train_epoch_end", 1),
        (BATCH, 6),
        ("stillroom.runs.conclude.write_plain", 1),
        ("stillroom.runs.conclude.write", 1),
    ]
    for place, which in on:
        assert command(tmp_path, ["train", "-r", "run"], (place, which, KILL))[0] == -KILL, place
    assert command(tmp_path, ["train", "-r", "run"])[0] == 0
    assert weights(tmp_path / "run") == weights(unbroken / "run")
    assert rows(tmp_path / "run") == rows(unbroken / "run")
    assert comparable(tmp_path / "run") == comparable(unbroken / "run")
    assert not list(tmp_path.rglob("*.part"))


def test_a_killed_comparison_keeps_what_has_ended(tmp_path):
    after_alone = TEACHER_BATCHES + 2 * 19
    assert command(tmp_path, COMPARE, (BATCH, after_alone + 5, KILL))[0] == -KILL
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "alone-0").rglob("*") if path.is_file()}
    assert command(tmp_path, ["compare", "-r", "run"], (BATCH, 20, KILL))[0] == -KILL
    status, said = command(tmp_path, ["compare", "-r", "run"])
    assert status == 0
    assert "Distilled minus alone" in said
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert results(tmp_path / "run" / "distilled-0")["steps"] == 2 * 19


@pytest.mark.parametrize("number", [TERM, INT])
def test_a_comparison_says_how_to_go_on(tmp_path, number):
    status, said = command(tmp_path, COMPARE, (BATCH, TEACHER_BATCHES + 5, number))
    assert status == 128 + number
    assert said == "stillroom: interrupted; go on with: stillroom compare -r run\n"


def test_a_teacher_says_how_to_go_on(unbroken, tmp_path):
    status, said = command(tmp_path, TRAIN, (BATCH, 25, TERM))
    assert status == 143
    assert said == "stillroom: interrupted; the same command goes on with the teacher where it stopped\n"
    checkpoint = read_checkpoint(teacher(tmp_path) / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 25
    assert not (tmp_path / "run").exists()
    assert command(tmp_path, TRAIN)[0] == 0
    assert weights(teacher(tmp_path)) == weights(teacher(unbroken))
    assert weights(tmp_path / "run") == weights(unbroken / "run")


def test_interrupted_elsewhere_than_in_training(tmp_path):
    status, said = command(tmp_path, TRAIN, ("stillroom.runs.assess.evaluate", 1, INT))
    assert (status, said) == (130, "stillroom: interrupted\n")


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [(TERM, 143), (INT, 130)])
def test_a_signal_to_the_command(unbroken, tmp_path, number, status):
    """A process as a shell starts it; what it had learnt is not lost."""
    weights_of_teacher = teacher(unbroken) / "model.safetensors"
    words = ["student.width=2", "scheduler=null", "trainer.max_epochs=100000", "data.limit_per_class=40"]
    words += [f"teacher.weights={weights_of_teacher}", "teacher.model.width=8"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stillroom", "train", "-c", "digits", "--out", "run", "-o", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal, not as in the background
    )
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", process)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == status, complaint
    assert said == ""
    assert complaint.splitlines()[-1] == "stillroom: interrupted; go on with: stillroom train -r run"
    assert "Traceback" not in complaint
    stopped = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert stopped["global_step"] > 0
    epochs = stopped["epoch"] + 2
    assert (
        command(tmp_path, ["train", "-r", "run", "-o", f"trainer.max_epochs={epochs}", "trainer.progress=false"])[0]
        == 0
    )
    words[2] = f"trainer.max_epochs={epochs}"
    assert command(tmp_path, ["train", "-c", "digits", "--out", "whole", "-o", *words])[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert torch.isfinite(torch.tensor(results(tmp_path / "run")["seconds"]))
