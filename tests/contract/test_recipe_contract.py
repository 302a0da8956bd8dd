"""What holds for every recipe that is shipped, by its being there."""

import re
import struct

import numpy as np
import pytest
import torch
import yaml

from stillroom.distillers import Distiller
from stillroom.export import measure
from stillroom.recipes import shipped, summary
from stillroom.runs import read_recipe, train
from stillroom.runs.check import check
from stillroom.runs.train import make_data, make_job

RECIPES = list(shipped())
DETECTION = [name for name in RECIPES if read_recipe(name).task == "detection"]
QUICK = (
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.progress=false",
    "data.batch_size=8",
)
QUICK_TEACHER = (*(f"teacher.{word}" for word in QUICK), "teacher.check=false")


def on(name, data):
    return read_recipe(name).data.class_path == f"stillroom.data.{data}"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Files of the form of MNIST's, with 40 images for training and 20 for tests."""
    folder = tmp_path_factory.mktemp("data") / "MNIST" / "raw"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        images = noise.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())
    return folder.parent.parent


@pytest.fixture
def words(data_root, shapes, monkeypatch):
    """Overrides that let a recipe run on little data in little time; of its models they change nothing."""
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    monkeypatch.setattr(measure, "WARM_UP_SECONDS", 0.0)

    def found(name):
        own = ["data.validation=20"] if on(name, "MNIST") else ["data.folder=voc"] if on(name, "VOC") else []
        root = [f"data.root={data_root if on(name, 'MNIST') else shapes}"] if own else []
        taught = read_recipe(name).teacher is not None
        return [*QUICK, *own, *root, *([*QUICK_TEACHER, *(f"teacher.{word}" for word in own)] if taught else [])]

    return found


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is(name):
    """Its file begins with a sentence for the listing, and its name can be one of a folder."""
    assert 20 < len(summary(shipped()[name])) < 160
    assert re.fullmatch(r"[a-z0-9-]+", name)


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_written_whole_and_read_again(name, tmp_path):
    recipe = read_recipe(name)
    variant = yaml.safe_load(shipped()[name].read_text()).get("variant")
    assert recipe.name == (name if variant is None else f"{name}-{variant}")
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(recipe.plain()))
    again = read_recipe(path)
    assert again.plain() == recipe.plain()
    assert again.fingerprint() == recipe.fingerprint()
    if recipe.teacher is not None:
        assert again.teacher_recipe().fingerprint() == recipe.teacher_recipe().fingerprint()


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in DETECTION])
def test_its_parts_fit_together(name, words, tmp_path):
    """Student, teacher, terms, task, optimizer and data are built and understand each other, at their own size."""
    recipe = read_recipe(name, words(name))
    job = make_job(recipe, make_data(recipe), tmp_path, "distilled")
    check(job)
    own = recipe.teacher_recipe()
    teacher = make_job(own, make_data(own), tmp_path, "teacher")
    check(teacher)
    distiller = Distiller(job.student, teacher.student, terms=dict(job.terms), deliveries=dict(job.deliveries))
    batch = job.data.sample(4)
    distiller.prepare(batch["inputs"], labels=batch["labels"], index=batch["index"])
    found = distiller(batch["inputs"], labels=batch["labels"], index=batch["index"])
    assert found.losses.keys() == recipe.terms.keys() != set()
    assert torch.isfinite(found.loss)
    assert job.data.num_classes == found.output.shape[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DETECTION)
def test_the_parts_of_a_detection_fit_together(name, words, tmp_path):
    """The same; the generated set has two classes where the recipe's has three, which the check would refuse."""
    recipe = read_recipe(name, [*words(name), "student.num_classes=2"])
    job = make_job(recipe, make_data(recipe), tmp_path, "alone")
    check(job)
    teacher = None
    if recipe.teacher is not None:
        own = read_recipe(name, [*words(name), "teacher.model.num_classes=2"]).teacher_recipe()
        taught = make_job(own, make_data(own), tmp_path, "teacher")
        check(taught)
        teacher = taught.student
    assert recipe.distils == (teacher is not None)
    distiller = Distiller(job.student, teacher, terms=dict(job.terms), deliveries=dict(job.deliveries))
    inputs = job.data.sample(4)["inputs"]
    distiller.prepare(inputs)
    losses = distiller(inputs).output["losses"]
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert not list(tmp_path.iterdir())


def test_the_detections_differ_in_what_is_taught_alone():
    """So that a comparison of the one is also a comparison with the other."""
    taught, alone = (read_recipe(name).plain() for name in ("lad-retinanet-bccd", "retinanet-bccd"))
    assert {key for key in taught if taught[key] != alone[key]} == {"name", "teacher", "deliveries"}
    thresholds = ("fg_iou_thresh", "bg_iou_thresh")
    networks = taught["student"]["init_args"], taught["teacher"]["model"]["init_args"]
    assert all(networks[0][name] != networks[1][name] for name in (*thresholds, "backbone"))
    assert networks[0]["anchor_scale"] == networks[1]["anchor_scale"]


@pytest.mark.parametrize("name", [name for name in RECIPES if on(name, "Digits")])
def test_it_trains(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(read_recipe(name, words(name)), out="run")
    assert run.results.steps == 2
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_in_it_is_tuned_on_the_test_set(name):
    """The best epoch is picked on images that are held out from the training set."""
    data = read_recipe(name).data.init_args
    assert data.get("validation", 1) != 0
