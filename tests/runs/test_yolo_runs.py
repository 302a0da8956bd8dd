"""A tiny YOLOv3 from a recipe to its measures, its report, its files and what it draws."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from PIL import Image, ImageChops
from tiny_runs import refused, results, rows, weights
from tiny_yolo import tiny

from stillroom.errors import StillroomError
from stillroom.export import same_choices, same_values
from stillroom.models import YOLOv3, YOLOv3Boxes
from stillroom.reports import read_run, write_report
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.checkup import check_recipe
from stillroom.runs.detect import draw
from stillroom.runs.evaluate import named
from stillroom.runs.load import load
from stillroom.runs.sizes import evaluate_sizes
from stillroom.runs.train import make_data, resume, train
from stillroom.runs.use import WRITERS, evaluate_source, export_source

PARTS = ["task.centre", "task.size", "task.objectness", "task.classes"]
BOTH = {"circle", "square"}
PER_CLASS = {"AP50", "AP50 11-point", "AP50 area", "AP"}


@pytest.fixture(scope="module")
def place(shapes, tmp_path_factory):
    """A place with one run, ``run``."""
    place = tmp_path_factory.mktemp("yolo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("STILLROOM_RUN", raising=False)
        train(tiny(shapes, "trainer.checkpoint_steps=2", "trainer.checkpoint_keep=2"), out="run")
    return place


@pytest.fixture
def there(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


# What is measured


def test_results_hold_all_measures(there):
    found = read_run(there / "run")
    again = evaluate_source("run")
    last = found.test.last
    assert {"AP", "AP75", "AP50 11-point", "AP50 area", "AR 100"} <= set(last.details)
    assert last.details == pytest.approx(again.details)
    assert set(last.per_class) == BOTH
    assert last.per_class == named(again, ["circle", "square"])
    assert all(set(told) == PER_CLASS for told in last.per_class.values())
    assert sum(told["AP50"] for told in last.per_class.values()) / 2 == pytest.approx(last.accuracy, abs=1e-6)
    assert found.validation.best.details


def test_training_measures_the_metric_alone(there):
    """And the same one as afterwards."""
    validated = [row for row in rows(there / "run") if row["phase"] == "validation"]
    assert float(validated[-1]["AP50"]) == pytest.approx(results(there / "run")["validation"]["last"]["accuracy"])


def test_what_the_loss_is_made_of(there):
    for row in rows(there / "run"):
        if row["phase"] == "validation":
            assert not any(row[name] for name in ("task", *PARTS))
            continue
        assert row["task_share"] == "1.0"  # the parts count as parts of it, and not again
        for ending in ("", "_weighted", "_share"):
            whole = float(row[f"task{ending}"])
            assert sum(float(row[name + ending]) for name in PARTS) == pytest.approx(whole, rel=1e-5)


def test_a_checkup_tells_the_task_as_one(shapes):
    found = check_recipe(tiny(shapes), batches=1)
    assert [(row.name, row.share) for row in found.terms] == [("task", 1.0)]


@pytest.mark.usefixtures("there")
def test_at_several_sizes():
    found = evaluate_sizes("run", [64, 96])
    assert [row.size for row in found] == [64, 96]
    assert all(row.images_per_second > 0 for row in found)
    assert found[0].found == evaluate_source("run")
    assert found[1].found.loss != found[0].found.loss
    assert found[1].found == evaluate_source("run", overrides=["data.image_size=96"])
    assert evaluate_sizes("run", [64], split="validation")[0].found.count == 4


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "--sizes: these are no sizes; expected whole numbers above 0, got []."),
        ([64, 0], "--sizes: these are no sizes; expected whole numbers above 0, got [64, 0]."),
        (
            [64, 50],
            "the size of the images does not fit; expected height and width that are multiples of 32, got (50, 50). "
            "Resize or pad them in the data.",
        ),
    ],
)
def test_sizes_that_do_not_fit(sizes, message, monkeypatch):
    monkeypatch.setattr("stillroom.runs.sizes.evaluate", lambda *_, **__: pytest.fail("it is refused before"))
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        evaluate_sizes("run", sizes)


@pytest.mark.usefixtures("there")
def test_data_without_a_size(monkeypatch):
    monkeypatch.setattr("stillroom.runs.sizes.NAMES", ("side",))
    message = "--sizes: the inputs of VOC have no size that can be changed; expected side, got batch_size, num_workers"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        evaluate_sizes("run", [64])


# The report


def test_the_report_of_a_detector(there):
    page = (there / "run" / "report.html").read_text()
    for said in ("Average precision", "By class", "AP50 11-point", "AR 100", "circle", "square"):
        assert said in page
    assert "Parts of the task loss" in page
    assert all(f"</span>{name}</li>" in page for name in PARTS)
    assert "Parts of the loss" not in page  # there are no terms
    assert '<img class="detections" src="data:image/png;base64,' in page
    assert "img-src data:" in page


def test_without_the_picture_there_is_none(there, tmp_path):
    for name in ("results.json", "metrics.csv", "config.yaml"):
        (tmp_path / name).write_bytes((there / "run" / name).read_bytes())
    page = write_report(tmp_path).read_text()
    assert 'class="detections"' not in page
    assert "img-src" not in page


def test_drawn_samples(there):
    with Image.open(there / "run" / "detections.png") as image:
        assert (image.mode, image.size) == ("RGB", (4 * 324, 324))  # four validation images in a row
        assert (255, 255, 255) in {colour for _, colour in image.getcolors(maxcolors=1 << 20)}  # the true boxes


# Other formats


def test_onnx_finds_what_the_model_finds(there, shapes, tmp_path):
    import onnxruntime

    ((path, difference),) = export_source(there / "run", ["onnx"], out=tmp_path, nms=True).items()
    assert path == tmp_path / "model.onnx"
    assert 0 < difference < 1e-2  # of pixels
    images, model = make_data(tiny(shapes)).example(3), load(there / "run")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = [torch.from_numpy(value) for value in session.run(None, {"input": images.numpy()})]
    with torch.no_grad():
        own = model(images)
    for (boxes, scores, labels), right in zip(zip(*said, strict=True), own, strict=True):
        size = len(right["scores"])
        assert int((labels >= 0).sum()) == pytest.approx(size, abs=2)  # what rounding decides
        torch.testing.assert_close(scores[: size - 2], right["scores"][: size - 2], atol=1e-4, rtol=0)
        for box, score, label in zip(boxes[:5], scores, labels, strict=False):
            like = (right["labels"] == label) & ((right["scores"] - score).abs() < 1e-4)
            assert ((right["boxes"] - box).abs().amax(1)[like] < 0.05).any()


@pytest.mark.parametrize("nms", [False, True])
def test_what_is_written_by_default(there, tmp_path, monkeypatch, nms):
    """The weights are the model's own, the graphs those of the boxes."""
    written = []

    def write(model, path, *, example, compare):
        written.append((type(model), getattr(model, "nms", None), path.name, tuple(example.shape), compare))
        return 0.0

    for name in ("safetensors", "onnx", "torch"):
        monkeypatch.setitem(WRITERS, name, write)
    export_source(there / "run", out=tmp_path, overrides=["data.image_size=96"], nms=nms)
    shape, compare = (4, 3, 96, 96), same_choices if nms else same_values
    assert written == [
        (YOLOv3, None, "model.safetensors", shape, same_values),
        (YOLOv3Boxes, nms, "model.onnx", shape, compare),
        (YOLOv3Boxes, nms, "model.pt2", shape, compare),
    ]


# Checkpoints


def test_the_newest_files_of_every_second_step_are_kept(there):
    assert {path.name for path in (there / "run" / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "step-4.ckpt",
        "step-6.ckpt",
    }
    steps = {path.name: read_checkpoint(path)["global_step"] for path in (there / "run" / "checkpoints").glob("step-*")}
    assert steps == {"step-4.ckpt": 4, "step-6.ckpt": 6}
    assert evaluate_source("run/checkpoints/step-6.ckpt") == evaluate_source("run")


@pytest.mark.usefixtures("there")
def test_on_from_the_file_of_a_step(there, tmp_path):
    """Boxes, sizes and augmentation are drawn as they would have been."""
    shutil.copytree(there / "run", tmp_path / "run")
    for name in ("results.json", "model.json", "model.safetensors", "report.html"):
        (tmp_path / "run" / name).unlink()
    resume(tmp_path / "run" / "checkpoints" / "step-4.ckpt")
    assert weights(tmp_path / "run") == weights(there / "run")


# Drawing


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.mark.usefixtures("there")
def test_what_is_drawn_and_written(shapes, tmp_path):
    images = shapes / "voc" / "JPEGImages"
    Image.new("L", (700, 350), 90).save(tmp_path / "test0.png")
    Image.new("P", (9, 13)).save(tmp_path / "small.gif")
    given = [images / "test0.jpg", tmp_path / "test0.png", tmp_path / "small.gif", images / "test0.jpg"]
    done = draw("run", given, out=tmp_path / "out", threshold=0.0)
    names = ["test0.jpg", "test0.png", "small.png", "test0-2.jpg"]
    assert [each.copy for each in done] == [tmp_path / "out" / name for name in names]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "detections.json"}
    assert [size_of(each.copy) for each in done] == [(480, 320), (700, 350), (333, 481), (480, 320)]
    said = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [each["image"] for each in said] == [str(path) for path in given]
    assert [each["copy"] for each in said] == names
    for each, (width, height) in zip(said, [(48, 32), (700, 350), (9, 13), (48, 32)], strict=True):
        assert len(each["boxes"]) == len(each["labels"]) == len(each["scores"]) > 0
        assert set(each["labels"]) <= BOTH
        assert each["scores"] == sorted(each["scores"], reverse=True)
        for left, top, right, bottom in each["boxes"]:
            assert 0 <= left <= right <= width
            assert 0 <= top <= bottom <= height
    assert said[0]["boxes"] == said[3]["boxes"]


@pytest.mark.usefixtures("there")
def test_only_the_sure_ones_are_drawn(shapes, tmp_path):
    image = shapes / "voc" / "JPEGImages" / "test1.jpg"
    (all_of_them,) = draw("run", [image], out=tmp_path / "all", threshold=0.0)
    scores = [box.score for box in all_of_them.found.boxes]
    (some,) = draw("run", [image], out=tmp_path / "some", threshold=scores[2])
    assert (all_of_them.shown, some.shown) == (len(scores), 3)
    assert len(some.found.boxes) == len(scores)
    (none,) = draw("run", [image], out=tmp_path / "none", threshold=1.0)
    assert none.shown == 0
    with Image.open(image) as original, Image.open(none.copy) as copy:
        plain = original.resize(copy.size, Image.Resampling.BICUBIC)
        apart = ImageChops.difference(plain, copy.convert("RGB"))
    assert max(most for _, most in apart.getextrema()) < 60  # what JPEG does
    assert len(draw("run", [image], out=tmp_path / "two", top=2)[0].found.boxes) == 2


@pytest.mark.usefixtures("there")
def test_what_cannot_be_drawn(shapes, tmp_path):
    image = shapes / "voc" / "JPEGImages" / "test1.jpg"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for out in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        message = f"{out}: this folder exists already. Choose another --out."
        refused(tmp_path, message, lambda out=out: draw("run", [image], out=out))
    for wrong in (-0.1, 1.5, float("nan")):
        message = f"--draw-threshold: this is no score; expected 0 to 1, got {wrong}."
        refused(tmp_path, message, lambda wrong=wrong: draw("run", [image], out=tmp_path / "out", threshold=wrong))


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("ending", ["jpg", "png", "gif"])
def test_a_broken_image_among_others(shapes, tmp_path, ending):
    """Cut off, or full of nonsense: nothing is left of the others either."""
    whole = shapes / "voc" / "JPEGImages" / "test1.jpg"
    broken = tmp_path / f"broken.{ending}"
    with Image.open(whole) as image:
        image.save(broken)
    for data in (broken.read_bytes()[:-40], broken.read_bytes()[:30] + b"\x00" * 300, b"no image", b""):
        broken.write_bytes(data)
        message = f"{broken}: the file is not an image that can be read; got "
        refused(tmp_path, message, lambda: draw("run", [whole, broken], out=tmp_path / "out"))
