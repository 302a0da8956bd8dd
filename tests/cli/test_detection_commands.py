"""``stillroom train``, ``eval``, ``infer``, ``export`` and ``recipes`` where models detect."""

import re

import pytest
from words_said import refused, said, usage

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
    first, second, *classes = out.splitlines()
    assert re.fullmatch(r"test: AP50 \d+\.\d\d %, loss \d\.\d{4}, 3 samples", first)
    assert re.match(r"AP50 11-point \d+\.\d\d %, AP50 area \d+\.\d\d %, AP \d+\.\d\d %, AP75 ", second)
    told = [line.split()[0].strip("─") for line in classes if line.strip()]
    assert told == ["By", "AP50", "%", "", "circle", "square"]
    assert ", 4 samples" in said("eval", "run", "--split", "validation")[1]


def test_eval_at_several_sizes():
    status, out, complaint = said("eval", "run", "--sizes", "64,32")
    assert (status, complaint) == (0, "")
    number = r" +\d+\.\d+"
    assert re.search(rf"^test: 3 samples *\n(.*\n)+ 64{5 * number} *\n 32{5 * number} *\n", out, re.MULTILINE)
    assert re.findall(r"(\d+) pixels", out) == ["64"]
    whole = said("eval", "run", "--sizes", "64,32", "--every-class")[1]
    assert re.findall(r"(\d+) pixels", whole) == ["64", "32"]
    assert len(re.findall(r"^ circle" + 4 * number, whole, re.MULTILINE)) == 2


def test_eval_of_what_is_no_size(place):
    message = (
        "stillroom eval: error: argument --sizes: expected whole numbers with commas between, such as 608,416,320; got "
        "'64,big'"
    )
    assert usage("eval", "run", "--sizes", "64,big") == message
    message = "--sizes: these are no sizes; expected whole numbers above 0, got [0]."
    assert refused(place[0], "eval", "run", "--sizes", "0") == message


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


def test_infer_draws(place, shapes, tmp_path):
    images, out = shapes / "voc" / "JPEGImages", tmp_path / "out"
    words = ("infer", "run", images / "test0.jpg", images / "val1.jpg", "--out", out)
    status, told, complaint = said(*words, "--draw-threshold", "0.2")
    assert (status, complaint) == (0, "")
    *lines, last = told.splitlines()
    for line, name in zip(lines, ("test0.jpg", "val1.jpg"), strict=True):
        assert re.fullmatch(rf"{out}/{name}: \d+ of \d+ boxes in {images}/{name}", line)
    assert last == f"{out}/detections.json"
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", "test0.jpg", "val1.jpg"]
    assert refused(place[0], *words) == f"{out}: this folder exists already. Choose another --out."


def test_infer_draws_nowhere(place, shapes):
    message = "--draw-threshold: there is nowhere to draw. Name a folder: --out FOLDER."
    assert refused(place[0], "infer", "run", shapes / "voc" / "JPEGImages", "--draw-threshold", "0.3") == message


def test_infer_of_a_broken_image(place, shapes, tmp_path):
    (tmp_path / "broken.jpg").write_bytes((shapes / "voc" / "JPEGImages" / "test0.jpg").read_bytes()[:200])
    words = ("infer", "run", shapes / "voc" / "JPEGImages" / "test0.jpg", tmp_path / "broken.jpg")
    start = f"{tmp_path}/broken.jpg: the file is not an image that can be read; got "
    for more in ((), ("--out", tmp_path / "out")):
        assert refused(place[0], *words, *more).startswith(start)
    assert not list((tmp_path / "out").iterdir())


def test_infer_refuses_no_boxes(place, shapes):
    message = "--top: the number of boxes is too small; expected at least 1, got 0."
    assert refused(place[0], "infer", "run", shapes / "voc" / "JPEGImages", "--top", "0") == message


def test_export(place, tmp_path):
    status, out, complaint = said("export", "run", "--out", tmp_path / "out")
    assert (status, complaint) == (0, "")
    assert out == f"{tmp_path}/out/model.safetensors: largest difference from the PyTorch model 0\n"
    complaint = refused(place[0], "export", "run", "--format", "torch")
    assert complaint.startswith("--format: a detector cannot be written as 'torch'; expected safetensors. How many")
    message = "--nms: this model is not written with or without NMS; expected YOLOv3, got RetinaNet."
    assert refused(place[0], "export", "run", "--nms") == message


def test_recipes_are_listed():
    out = said("recipes")[1]
    assert re.search(r"^lad-retinanet-bccd +Label assignment distillation on blood cells$", out, re.MULTILINE)
    assert re.search(r"^retinanet-bccd +Blood cells in 364 microscope images$", out, re.MULTILINE)
