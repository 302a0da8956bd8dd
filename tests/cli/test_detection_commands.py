"""``stillroom train``, ``eval``, ``infer``, ``export`` and ``recipes`` where models detect."""

import re

import pytest
from words_said import refused, said

WORDS = [
    *("student.num_classes=2", "student.backbone=test_resnet", "student.channels=16", "student.score_thresh=0.001"),
    *("data.folder=voc", "data.image_size=64", "data.batch_size=3", "trainer.max_epochs=1"),
]


@pytest.fixture(scope="module")
def place(shapes, tmp_path_factory):
    """A place with one run, ``run``, and what training it said."""
    place = tmp_path_factory.mktemp("detection")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("STILLROOM_RUN", raising=False)
        words = said("train", "-c", "retinanet-bccd", "-o", *WORDS, f"data.root={shapes}", "--out", "run")
    return place, words


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place[0])


def test_train_names_the_metric(place):
    status, out, complaint = place[1]
    assert status == 0
    assert re.fullmatch(r"run: epoch 1/1  validation AP50 \d+\.\d\d %  \d+\.\d s\n", complaint)
    assert re.search(r"test AP50, last epoch +\d+\.\d\d % \(epoch 1\)", out)
    assert "accuracy" not in out


def test_eval():
    status, out, complaint = said("eval", "run")
    assert (status, complaint) == (0, "")
    assert re.fullmatch(r"test: AP50 \d+\.\d\d %, loss \d\.\d{4}, 3 samples\n", out)
    assert ", 4 samples" in said("eval", "run", "--split", "validation")[1]


def test_infer(shapes):
    images = shapes / "voc" / "JPEGImages"
    status, out, complaint = said("infer", "run", images / "test0.jpg", images / "test1.jpg", "--top", "2")
    assert (status, complaint) == (0, "")
    first, second = re.findall(r"(.*\.jpg): 2 boxes\n((?:  .*\n){2})", out)
    assert (first[0], second[0]) == (str(images / "test0.jpg"), str(images / "test1.jpg"))
    for line in (first[1] + second[1]).splitlines():
        name, *numbers = re.fullmatch(r"  (\w+) [\d.]+ % \(([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\)", line).groups()
        x1, y1, x2, y2 = map(float, numbers)
        assert name in ("square", "circle")
        assert 0 <= x1 <= x2 <= 48
        assert 0 <= y1 <= y2 <= 32
    assert len(said("infer", "run", images / "test0.jpg")[1].splitlines()) > 3


def test_infer_refuses_no_boxes(place, shapes):
    message = "--top: the number of boxes is too small; expected at least 1, got 0."
    assert refused(place[0], "infer", "run", shapes / "voc" / "JPEGImages", "--top", "0") == message


def test_export(place, tmp_path):
    status, out, complaint = said("export", "run", "--out", tmp_path / "out")
    assert (status, complaint) == (0, "")
    assert out == f"{tmp_path}/out/model.safetensors: largest difference from the PyTorch model 0\n"
    complaint = refused(place[0], "export", "run", "--format", "torch")
    assert complaint.startswith("--format: a detector cannot be written as 'torch'; expected safetensors. How many")


def test_recipes_are_listed():
    out = said("recipes")[1]
    assert re.search(r"^lad-retinanet-bccd +Label assignment distillation on blood cells$", out, re.MULTILINE)
    assert re.search(r"^retinanet-bccd +Blood cells in 364 microscope images$", out, re.MULTILINE)
