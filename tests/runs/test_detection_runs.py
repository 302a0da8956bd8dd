"""Detection from a recipe to a run folder and back, on a set that takes no time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_runs import files, refused, results, rows, weights

from stillroom.errors import StillroomError
from stillroom.models import RetinaNet
from stillroom.reports import read_metrics
from stillroom.runs import InterruptedRun, compare_recipe, read_recipe, resume
from stillroom.runs.assess import assessed
from stillroom.runs.detect import detect, is_detector
from stillroom.runs.evaluate import evaluate
from stillroom.runs.load import load
from stillroom.runs.look import inspect_model, specimen
from stillroom.runs.train import make_data, train
from stillroom.runs.use import classify, evaluate_source, export_source

SMALL = ("num_classes=2", "backbone=test_resnet", "channels=16")
QUICK = ("trainer.max_epochs=2", "trainer.progress=false", "trainer.log_every=1")


def tiny(root, *words, name="lad-retinanet-bccd", layout="voc"):
    """The shipped recipe on the generated set: another folder and size, smaller networks, two epochs."""
    whole = [f"student.{word}" for word in SMALL] + list(QUICK)
    if name.startswith("lad"):
        whole += [f"teacher.model.{word}" for word in SMALL] + [f"teacher.{word}" for word in QUICK]
        whole += ["teacher.check=false"]
    if layout == "coco":
        whole += ["data.class_path=COCO", "teacher.data.class_path=COCO"]
        whole += [f"{each}data.splits=[train, val, test]" for each in ("", "teacher.")]
    for each in ("", "teacher.") if name.startswith("lad") else ("",):
        whole += [f"{each}data.{word}" for word in (f"folder={layout}", "image_size=64", "batch_size=3")]
    return read_recipe(name, [*whole, f"data.root={root}", *words])


@pytest.fixture(scope="module")
def compared(shapes, tmp_path_factory):
    """A place with a comparison, ``comparison``, and the teacher of it."""
    place = tmp_path_factory.mktemp("detection")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("STILLROOM_RUN", raising=False)
        compare_recipe(tiny(shapes), seeds=1, out="comparison")
    return place


@pytest.fixture
def there(compared, monkeypatch):
    monkeypatch.chdir(compared)
    return compared


def test_what_a_comparison_says(there):
    found = results(there / "comparison")
    assert (found["metric"], found["split"], found["seeds"]) == ("AP50", "test", [0])
    assert [row["name"] for row in found["rows"]] == ["teacher", "student alone", "student distilled"]
    for role in ("alone-0", "distilled-0", "teacher"):
        run = results(there / "comparison" / role)
        assert (run["metric"], run["epochs"], run["steps"]) == ("AP50", 2, 4)
        assert 0 <= run["test"]["last"]["accuracy"] <= 1
    alone, distilled = ((there / "comparison" / f"{role}-0") for role in ("alone", "distilled"))
    assert weights(alone) != weights(distilled)
    report = (there / "comparison" / "report.html").read_text()
    assert "test AP50, last epoch, %" in report
    assert "Validation AP50" in report
    assert "accuracy" not in report.partition("<details>")[0]


def test_the_metrics_of_a_run(there):
    folder = there / "comparison" / "distilled-0"
    assert list(rows(folder)[0])[:5] == ["epoch", "step", "phase", "loss", "AP50"]
    validated = [line for line in read_metrics(folder) if line.phase == "validation"]
    assert [line.epoch for line in validated] == [1, 2]
    assert validated[-1].accuracy == pytest.approx(results(folder)["validation"]["last"]["accuracy"], abs=1e-6)
    best = results(folder)["validation"]["best"]
    assert best["accuracy"] == pytest.approx(max(line.accuracy for line in validated), abs=1e-6)


def test_alone_is_the_recipe_without_the_delivery(there, shapes, away):
    """The same words, the same weights, to the bit: the second shipped recipe."""
    run = train(tiny(shapes, name="retinanet-bccd"), out="run")
    assert run.results.role == "alone"
    assert weights(run.folder) == weights(there / "comparison" / "alone-0")
    assert not (away / "runs").exists()


def test_the_layout_of_coco(shapes, away):
    run = train(tiny(shapes, name="lad-retinanet-bccd", layout="coco"), out="run")
    assert (run.results.role, run.results.metric, run.results.steps) == ("distilled", "AP50", 4)
    card = json.loads((away / "run" / "model.json").read_text())
    assert (card["extra"]["task"], card["extra"]["class_names"]) == ("detection", ["square", "circle"])


def test_a_stopped_run_goes_on_to_the_same_weights(there, shapes, tmp_path):
    folder = tmp_path / "run"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stillroom.algorithms.Offline.on_validation_epoch_end", stop)
        patch.setattr("stillroom.runs.checkpoints.Checkpoints._due", lambda *_: True)
        with pytest.raises(InterruptedRun, match=f"interrupted; go on with: stillroom train -r {folder}"):
            train(tiny(shapes), out=folder)
    assert not (folder / "results.json").exists()
    resume(folder)
    assert weights(folder) == weights(there / "comparison" / "distilled-0")


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("source", ["comparison/distilled-0", "comparison/distilled-0/checkpoints/last.ckpt"])
def test_it_is_evaluated_again(source):
    said = results(Path("comparison/distilled-0"))
    found = evaluate_source(source)
    assert (found.metric, found.count) == ("AP50", 3)
    assert found.accuracy == pytest.approx(said["test"]["last"]["accuracy"])
    assert found.loss == pytest.approx(said["test"]["last"]["loss"], rel=1e-5)


def test_a_checkpoint_of_a_run_that_has_not_ended(there, tmp_path):
    source = there / "comparison" / "distilled-0"
    (tmp_path / "checkpoints").mkdir()
    for name in ("config.yaml", "checkpoints/last.ckpt"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    assert is_detector(tmp_path / "checkpoints" / "last.ckpt")
    assert evaluate_source(tmp_path / "checkpoints" / "last.ckpt").metric == "AP50"


@pytest.mark.usefixtures("there")
def test_boxes_are_told_in_pixels_of_the_file(shapes, monkeypatch):
    """The file is 48x32, the model's input 64x64."""
    said = [{"boxes": torch.tensor([[0.0, 0, 64, 64], [16, 32, 32, 48]]), "scores": torch.tensor([0.9, 0.25])}]
    said[0]["labels"] = torch.tensor([1, 0])
    asked = []
    monkeypatch.setattr(RetinaNet, "forward", lambda _, images: asked.append(images) or said)
    image = shapes / "voc" / "JPEGImages" / "test0.jpg"
    (found,) = detect("comparison/distilled-0", [image])
    assert (found.image, asked[0].shape) == (image, (1, 3, 64, 64))
    assert [(box.name, round(box.score, 2), box.corners) for box in found.boxes] == [
        ("square", 0.9, (0, 0, 48, 32)),
        ("circle", 0.25, (12, 16, 24, 24)),
    ]
    assert len(detect("comparison/distilled-0", [image], top=1)[0].boxes) == 1
    with pytest.raises(
        StillroomError, match=r"^--top: the number of boxes is too small; expected at least 1, got 0\.$"
    ):
        detect("comparison/distilled-0", [image], top=0)


def test_export_and_inspect(there, tmp_path):
    differences = export_source("comparison/distilled-0", out=tmp_path / "out")
    assert differences == {tmp_path / "out" / "model.safetensors": 0.0}
    message = (
        "--format: a detector cannot be written as 'onnx'; expected safetensors. How many boxes it finds depends on "
        "the image, which a traced program cannot follow."
    )
    refused(there, message, lambda: export_source("comparison/distilled-0", ["safetensors", "onnx"], out=there / "out"))
    sites = {info.site: info.output for info in inspect_model(specimen("comparison/distilled-0")).sites}
    assert sites["detector.backbone.fpn.layer_blocks.0"] == "(2, 16, 8, 8)"
    assert sites["detector.head"] == "a dict with cls_logits, bbox_regression"


@pytest.mark.usefixtures("there")
def test_a_detector_is_no_classifier(shapes):
    image = shapes / "voc" / "JPEGImages" / "test0.jpg"
    with pytest.raises(StillroomError, match="the student's output holds no logits"):
        classify("comparison/distilled-0", [image])
    assert is_detector("comparison/distilled-0")


# What is refused before anything is trained or written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["student.num_classes=3"],
            "student: the model's classes are not the data's; expected num_classes=2 for VOC, got 3. Set its number of",
        ),
        (
            ["student.num_classes=1"],
            "student: the model has fewer classes than the data; expected labels below 1, got 1.",
        ),
        (
            ["teacher.model.num_classes=3"],
            "teacher.model: the model's classes are not the data's; expected num_classes=",
        ),
        (
            ["student.class_path=torchvision.models.resnet18"],
            "student: ResNet does not take the data's inputs; expected a model of a dict with images, targets, got",
        ),
        (
            ["task=cross_entropy", "teacher.task=cross_entropy"],
            "task: the task loss needs labels, and the data has none. Set task_weight to 0.",
        ),
        (["task=detect"], "task: there is no task 'detect'. Did you mean 'detection'?"),
        (
            ["deliveries.assignment.path=torchvision.models.detection._utils.Matcher.nothing"],
            "deliveries.assignment: Matcher has no 'nothing'. There are: ",
        ),
    ],
)
def test_what_does_not_fit_together(away, shapes, words, message):
    refused(away, message, lambda: train(tiny(shapes, "teacher.trainer.max_epochs=1", *words), out="run"))


def test_digits_are_no_detection(away):
    words = ["task=detection", "terms={}", "trainer.progress=false"]
    message = (
        'task: the student\'s output holds no loss; expected a mapping with "losses" or "loss", as detectors return'
    )
    refused(away, message, lambda: train(read_recipe("digits", words), out="run"))


def test_a_teacher_that_finds_nothing(there, shapes, tmp_path):
    teacher = load(next((there / "runs" / "teachers").iterdir()))
    torch.nn.init.constant_(teacher.detector.head.classification_head.cls_logits.bias, -20.0)
    torch.nn.init.zeros_(teacher.detector.head.classification_head.cls_logits.weight)
    save_file(teacher.state_dict(), tmp_path / "blank.safetensors")
    data = make_data(tiny(shapes))
    message = (
        r"^teacher: the teacher is no better than chance on the validation set; expected an AP50 above \d\.\d % \(that "
        r"of the same model untrained\), got 0\.0 % of 4 samples\."
    )
    with pytest.raises(StillroomError, match=message):
        assessed(teacher, data, task="detection")
    assert assessed(teacher, data, task="detection", check=False).facts.validation.accuracy == 0.0


def test_a_teacher_of_other_classes(shapes):
    teacher = RetinaNet(num_classes=3, backbone="test_resnet", channels=16)
    message = "teacher: the model's classes are not the data's; expected num_classes=2 for VOC, got 3."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        assessed(teacher, make_data(tiny(shapes)), task="detection", check=False)


@pytest.mark.usefixtures("there")
def test_data_without_boxes_is_not_evaluated():
    batches = [{"inputs": {"images": torch.rand(1, 3, 64, 64)}, "index": torch.zeros(1)}]
    assert evaluate(load("comparison/distilled-0"), batches, task="detection") is None


def test_no_checkpoint_holds_the_teacher_and_no_file_is_left_half(there):
    names = files(there / "comparison")
    assert not [name for name in names if name.endswith(".part")]
    state = torch.load(there / "comparison/distilled-0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[1] for name in state} == {"student"}
