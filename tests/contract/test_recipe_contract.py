"""What holds for every recipe that is shipped, by its being there."""

import re
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image

from stillroom.distillers import Distiller
from stillroom.recipes import shipped, summary
from stillroom.runs import read_recipe, train
from stillroom.runs.check import check
from stillroom.runs.fit import rehearsed
from stillroom.runs.teachers import Training, trained_teachers
from stillroom.runs.train import make_data, make_job

RECIPES = list(shipped())
WRITTEN = {name: yaml.safe_load(path.read_text()) for name, path in shipped().items()}
DETECTION = [name for name in RECIPES if WRITTEN[name].get("task") == "detection"]
YOLO = [name for name in DETECTION if name.startswith("yolov3")]
NOISE = [name for name in RECIPES if WRITTEN[name]["data"]["class_path"] == "Noise"]
DIGITS = [name for name in RECIPES if "Digits" in str(WRITTEN[name]["data"])]
CIFAR = {"CIFAR10": 10, "CIFAR100": 100}
QUICK = (
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.progress=false",
    "data.batch_size=8",
)
QUICK_TEACHER = (*(f"teacher.{word}" for word in QUICK), "teacher.check=false")
QUICK_SEAT = ("trainer.max_epochs=2", "trainer.progress=false")
# The classes of a folder, and a teacher that is not downloaded.
FOLDERS = (
    "data.size=32",
    "data.resize=32",
    "data.num_workers=0",
    "student.num_classes=2",
    "teacher.model={class_path: torchvision.models.resnet34, init_args: {num_classes: 2}}",
    "teacher.weights=null",
)
# One that another recipe trains must be better than chance.
QUICK_CHAIN = [f"{who}trainer.{word}" for who in ("", "teacher.") for word in ("max_epochs=2", "progress=false")]


def on(name, data):
    return WRITTEN[name]["data"]["class_path"] == data


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


def cifar(classes):
    """In the place of torchvision's class: of its training images those that are held out, and some more."""

    class Fake:
        def __init__(self, folder, *, train, download):
            count = 5200 if train else 2 * classes
            self.data = np.random.default_rng(int(train)).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            self.targets = [index % classes for index in range(count)]
            self.classes = [f"class {index}" for index in range(classes)]

    return Fake


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six images of noise in folders, of two classes."""
    root = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0)
    for part in ("train", "val"):
        for place in range(6):
            folder = root / part / f"class {place % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    return root


def variants_of(name):
    """All that a recipe can be, with something to learn from; those of digits-method have tests of their own."""
    several = WRITTEN[name].get("variants")
    return (
        [name]
        if several is None or name == "digits-method"
        else [f"{name} {each}" for each in several if each != "alone"]
    )


def untrained(recipe, data):
    """The recipe's teachers by name, and ensembles of them, none of which has learned anything."""
    found = {}

    def stop(networks):
        found.update(networks)
        raise StopIteration

    with suppress(StopIteration):
        trained_teachers(recipe, data, Training(check=lambda *_: None, rehearse=stop, train=None))
    return found


@pytest.fixture
def words(data_root, shapes, photos, monkeypatch, tmp_path_factory):
    """Overrides that let a recipe run on little data in little time; of its models they change nothing."""
    for kind, classes in CIFAR.items():
        monkeypatch.setattr(torchvision.datasets, kind, cifar(classes))

    def found(name, *chosen):
        if on(name, "ImageFolder"):
            return [*QUICK, *QUICK_TEACHER, *FOLDERS, f"data.root={photos}"]
        own = ["data.validation=20"] if on(name, "MNIST") else ["data.folder=voc"] if on(name, "VOC") else []
        root = [f"data.root={data_root if on(name, 'MNIST') else shapes}"] if own else []
        teacher = read_recipe(name, chosen).teacher
        if isinstance(teacher, str):
            return [*QUICK, *own, *root, f"teacher={chained(teacher)}"]
        taught = [*QUICK_TEACHER, *(f"teacher.{word}" for word in own)] if teacher is not None else []
        team = [each for each, section in WRITTEN[name].get("teachers", {}).items() if "model" in section]
        return [*QUICK, *own, *root, *taught, *(f"teachers.{each}.{word}" for each in team for word in QUICK_SEAT)]

    def chained(name):
        path = tmp_path_factory.mktemp("chain") / f"{name}.yaml"
        path.write_text(yaml.safe_dump(read_recipe(name, QUICK_CHAIN).plain()))
        return path

    return found


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is(name):
    """Its file begins with a sentence for the listing, and its name can be one of a folder."""
    assert 20 < len(summary(shipped()[name])) < 160
    assert re.fullmatch(r"[a-z0-9-]+", name)


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_written_whole_and_read_again(name, tmp_path):
    recipe = read_recipe(name)
    variant = WRITTEN[name].get("variant")
    assert recipe.name == (name if variant is None else f"{name}-{variant}")
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(recipe.plain()))
    again = read_recipe(path)
    assert again.plain() == recipe.plain()
    assert again.fingerprint() == recipe.fingerprint()
    if isinstance(recipe.teacher, dict) and recipe.teacher["weights"] is None:
        assert again.teacher_recipe().fingerprint() == recipe.teacher_recipe().fingerprint()


@pytest.mark.parametrize("case", [case for name in RECIPES if name not in DETECTION for case in variants_of(name)])
def test_its_parts_fit_together(case, words, tmp_path, monkeypatch):
    """Student, teachers, terms, task, algorithm, optimizer and data are built and understand each other."""
    monkeypatch.chdir(tmp_path)
    name, _, variant = case.partition(" ")
    chosen = [f"variant={variant}"] if variant else []
    recipe = read_recipe(name, [*words(name, *chosen), *chosen])
    data = make_data(recipe)
    algorithm = rehearsed(make_job(recipe, data, tmp_path, "distilled"), untrained(recipe, data))
    assert type(algorithm).__name__ == (
        recipe.algorithm.class_path.rpartition(".")[2] if recipe.algorithm else "Offline"
    )
    assert algorithm.distiller.terms.keys() == recipe.terms.keys()
    if name not in NOISE:
        found = algorithm.training_step(data.sample(4), 0)
        assert torch.isfinite(found["loss"])
        assert found["parts"].keys() != set()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", YOLO)
def test_the_parts_of_a_yolov3_fit_together(name, shapes, tmp_path, monkeypatch):
    """Narrow, at 64 pixels, on the generated set of two classes; its teacher is what its recipe makes."""
    monkeypatch.chdir(tmp_path)
    recipe, teacher = read_recipe(name, small(name, shapes)), None
    if recipe.teacher is not None:
        own = read_recipe(recipe.teacher, small(recipe.teacher, shapes))
        assert own.data.plain() == recipe.data.plain()
        teacher = {"teacher": make_job(own, make_data(own), tmp_path, "teacher").student}
    job = make_job(recipe, make_data(recipe), tmp_path, "alone")
    algorithm = rehearsed(job, teacher or {})
    found = algorithm.training_step(job.data.sample(2), 0)
    assert torch.isfinite(found["loss"])
    assert recipe.distils == (teacher is not None)
    shown = WRITTEN[name].get("terms", {})
    on = {term for term, section in shown.items() if section["weight"] > 0}
    assert found["parts"].keys() & {"l2", "fine"} == on
    assert not teacher or (shown.keys() == {"l2", "fine"} and len(on) == 1)


def small(name, shapes):
    written = WRITTEN[name]
    kind = written["data"]["class_path"].lower()
    return [
        *("student.num_classes=2", "student.width=32", "student.pretrained=false"),
        *(f"terms.{term}.loss.num_classes=2" for term in written.get("terms", {})),
        *(f"data.root={shapes}", f"data.folder={kind}", "data.splits=[train, val, test]", "data.num_workers=0"),
        *("data.image_size=64", "data.augmentation.sizes=[64]", "data.batch_size=2", "trainer.progress=false"),
    ]


@pytest.mark.parametrize("name", [name for name in DETECTION if name not in YOLO])
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


@pytest.mark.parametrize("name", DIGITS)
def test_it_trains(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(read_recipe(name, words(name)), out="run")
    assert run.results.steps == 2
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_in_it_is_tuned_on_the_test_set(name):
    """The best epoch is picked on images that are held out from the training set."""
    data = read_recipe(name).plain()["data"]
    real = data["init_args"]["validation"] if name in NOISE else data
    assert real.get("init_args", {}).get("validation", 1) != 0
