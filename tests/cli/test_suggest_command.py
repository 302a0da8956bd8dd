"""``stillroom suggest``."""

import pytest
import yaml
from words_said import TINY, files, refused, said

from stillroom.runs import read_recipe

UNTRAINED = "The teacher is not trained yet: one that has learned nothing stood in for it.\n"


def terms(out):
    return yaml.safe_load(out[out.index("terms:") :])["terms"]


def test_pairs_and_terms(away):
    status, out, complaint = said("suggest", "-c", "digits", "-o", "student.width=6")
    assert (status, complaint) == (0, "")
    assert files(away) == {}
    header, one, two, *_ = out.splitlines()
    assert header.split() == ["term", "student", "shape", "teacher", "shape", "why", "connector"]
    assert one.split("  ")[0] == "stride2"
    assert "layer1" in one
    assert "6 x 4 x 4" in one
    assert "32 x 4 x 4" in one
    assert two.endswith("auto: Conv1x1(12, 64)")
    assert UNTRAINED in out
    assert terms(out) == {
        "kl": {"loss": {"class_path": "KLDivergence", "init_args": {"tau": 4.0}}, "weight": 1.0},
        "stride2": {"loss": "L2", "student": "layer1", "teacher": "layer1", "connector": "auto", "weight": 1.0},
        "stride4": {"loss": "L2", "student": "layer2", "teacher": "layer2", "connector": "auto", "weight": 1.0},
    }


@pytest.mark.usefixtures("here")
def test_the_terms_train(tmp_path):
    _, out, _ = said("suggest", "-c", "digits", "-o", *TINY)
    recipe = read_recipe("digits", TINY).plain() | {"terms": terms(out)}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(recipe))
    status, out, _ = said("train", "-c", path, "--out", tmp_path / "run")
    assert status == 0
    assert "stride4" in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")


@pytest.mark.usefixtures("here")
def test_a_teacher_that_is_there_is_taken():
    assert UNTRAINED not in said("suggest", "-c", "digits", "-o", *TINY)[1]
    assert UNTRAINED in said("suggest", "-c", "digits", "-o", *TINY, "teacher.seed=5")[1]
    out = said("suggest", "-c", "digits", "-t", "run")[1]
    assert UNTRAINED not in out
    assert "2 x 4 x 4" in out


@pytest.mark.usefixtures("here")
def test_similarity():
    status, out, _ = said("suggest", "-c", "digits", "-o", *TINY, "--cka")
    assert status == 0
    assert out.splitlines()[0].endswith("CKA")
    values = [float(line.split()[-1]) for line in out.splitlines()[1:3]]
    assert all(0 < value < 1 for value in values)
    assert (
        "\nCKA of 64 samples is information, and chose nothing; of weights that are not trained, such as the "
        "student's, it tells little.\n"
    ) in out


@pytest.mark.usefixtures("away")
def test_one_of_several_teachers():
    status, out, _ = said("suggest", "-c", "digits-team", "--of", "other")
    assert status == 0
    assert [term.get("teacher") for term in terms(out).values()] == ["other/", "other/layer1", "other/layer2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "which recipe?; expected -c RECIPE. `stillroom recipes` lists those that are shipped."),
        ("-c digits-team", "--of: which teacher?; expected wide or other."),
        ("-c digits-team --of wid", "--of: there is no teacher 'wid'. Did you mean 'wide'?"),
        ("-c digits-team --of all", "--of: there is no teacher 'all'."),
        ("-c digits --of big", "--of: there is no teacher 'big'."),
        (
            "-c digits -o teacher=null",
            "teacher: the recipe has no teacher. Name one: -t with a recipe, a run folder, a checkpoint or weights.",
        ),
        (
            "-c digits -o student.in_channels=3",
            "student: SmallCNN does not take this batch; expected what the model is ",
        ),
        ("-c digits -o student.widht=3", "student: SmallCNN has no argument 'widht'. Did you mean 'width'?"),
    ],
)
def test_refusals(away, words, message):
    assert refused(away, "suggest", *words.split()).startswith(message)


NOISE = """
student: {class_path: torchvision.models.mobilenet_v2, init_args: {num_classes: 10}}
teacher: {model: {class_path: torchvision.models.resnet18, init_args: {num_classes: 9}}}
data: {class_path: Noise, init_args: {shape: [3, 64, 64], steps: 1, batch_size: 2}}
task_weight: 0.0
terms: {kl: {loss: KLDivergence}}
optimizer: SGD
trainer: {max_epochs: 1}
"""


def test_what_is_not_alike_is_said(away):
    (away / "noise.yaml").write_text(NOISE)
    status, out, complaint = said("suggest", "-c", "noise.yaml")
    assert (status, complaint) == (0, "")
    flag = "signs differ: the student's values are signed (BatchNorm2d), the teacher's non-negative (ReLU)"
    assert f"\nstride4: {flag}.\n" in out
    assert f"\n  stride4:  # stride 4\n    # {flag}\n    loss: L2\n    student: features.3\n" in out
    assert (
        "\nNo term on the logits: the numbers of classes differ, 10 of the student, 9 of the teacher.\n" + UNTRAINED
        in out
    )
    assert terms(out).keys() == {"stride4", "stride8", "stride16", "stride32"}


@pytest.mark.usefixtures("away")
def test_detectors(shapes):
    model = ("num_classes=2", "backbone=test_resnet", "channels=16")
    words = [f"{side}.{word}" for side in ("student", "teacher.model") for word in model]
    words += [f"data.root={shapes}", "data.folder=voc", "data.image_size=64"]
    status, out, complaint = said("suggest", "-c", "lad-retinanet-bccd", "-o", *words)
    assert (status, complaint) == (0, "")
    sites = [f"detector.backbone.body.layer{number}" for number in (1, 2, 3, 4)]
    assert [(term["student"], term["teacher"]) for term in terms(out).values()] == list(zip(sites, sites, strict=True))
    outputs = "a dict with losses of the student, a dict with losses of the teacher"
    assert f"\nNo term on the logits: the outputs are {outputs}, not both logits (N, C).\n" in out
