"""A detector distilled by two processes that torchrun launches."""

import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tiny_runs import results, rows

from stillroom.models import YOLOv3
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.use import evaluate_source

HEADS = [f"heads.{index}.raw" for index in range(3)]
MODEL = {"backbone": "test_resnet", "num_classes": 2, "width": 16}
TERMS = {
    name: {"loss": {"class_path": loss, "init_args": {"num_classes": 2}}, "student": HEADS, "teacher": HEADS}
    for name, loss in (("l2", "YOLOHeadL2"), ("fine", "YOLOFineGrained"))
}


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """The folder of a training by two processes, of which one has an image less to validate."""
    place = tmp_path_factory.mktemp("torchrun")
    (shapes / "voc" / "ImageSets" / "Main" / "three.txt").write_text("val0\nval1\nval2\n")
    torch.manual_seed(0)
    save_file(YOLOv3(**MODEL).state_dict(), place / "teacher.safetensors")
    data = {"root": str(shapes), "folder": "voc", "splits": ["train", "three", "test"], "image_size": 64}
    recipe = {
        "student": {"class_path": "YOLOv3", "init_args": MODEL},
        "teacher": {
            "model": {"class_path": "YOLOv3", "init_args": MODEL},
            "weights": str(place / "teacher.safetensors"),
            "check": False,
        },
        "data": {"class_path": "VOC", "init_args": {**data, "batch_size": 1, "augmentation": {"sizes": [64, 96]}}},
        "task": "detection",
        "terms": TERMS,
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.001}},
        "trainer": {"max_epochs": 1, "total_batch": 4, "accelerator": "cpu", "devices": 2, "log_every": 1},
    }
    (place / "two.yaml").write_text(yaml.safe_dump(recipe))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "stillroom", "train", "-c", "two.yaml", "--out", "run"],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run folder:") == 1
    return place / "run"


def test_four_images_make_a_step_of_both(run):
    assert (
        read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 2
    )  # of six images; the last ones are two
    (step,) = [row for row in rows(run) if row["phase"] == "train"]
    assert all(float(step[name]) > 0 for name in ("task", "l2", "fine"))


def test_the_two_measure_all_images_together(run):
    (row,) = [row for row in rows(run) if row["phase"] == "validation"]
    alone = evaluate_source(run, split="validation")
    assert alone.count == 3
    assert float(row["AP50"]) == pytest.approx(alone.accuracy, abs=1e-6)
    assert float(row["loss"]) == pytest.approx(alone.loss, rel=1e-5)
    assert results(run)["validation"]["last"]["accuracy"] == pytest.approx(alone.accuracy)
