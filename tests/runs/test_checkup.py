"""What the doctor says of data, teachers and whole recipes."""

from __future__ import annotations

import copy
import json
import shutil
from itertools import islice, pairwise

import pytest
import torch
from PIL import Image
from tiny_runs import TINY, Stripes, files, network, tiny, trained_network

from stillroom.algorithms import as_task
from stillroom.data import ImageFolder, Sets
from stillroom.distillers import Ensemble, Teacher
from stillroom.errors import StillroomError
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs import read_recipe
from stillroom.runs.checkup import check_recipe
from stillroom.runs.lineup import measured, order_of_classes
from stillroom.runs.normalisation import normalised_alike, of_data
from stillroom.runs.pace import batches_of_an_epoch
from stillroom.runs.readable import read_sample, spread, spread_batches
from stillroom.runs.teachers import Standing
from stillroom.runs.train import make_data

CPU = torch.device("cpu")


def said(findings):
    return [str(finding) for finding in findings]


def standing(model, *, folder=None, check=True):
    return Standing(model, True, folder, check, "teacher")


def stripes(**options):
    return Sets(Stripes(), Stripes(48, seed=1), batch_size=16, **options)


def on_stripes(model, *, student=None, check=True):
    data = stripes()
    batches = spread_batches(data.val_dataloader(), 3, 16)
    task = as_task("cross_entropy")
    return said(measured(standing(model, check=check), student or network(2), batches, task, data, CPU))


class Broken(Stripes):
    """Some of its samples cannot be learned from."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        if index == 7:
            raise OSError("broken data stream\nin img7.jpg")
        if index == 11:
            image = image * float("inf")
        return image, 3 if index == 13 else label


@pytest.mark.parametrize("count", [1, 2, 3, 10, 97, 618, 1000])
def test_spread_visits_every_sample_once_and_evenly(count):
    order = list(spread(count))
    assert sorted(order) == list(range(count))
    if count >= 97:
        first = sorted(order[:20])
        assert max(b - a for a, b in pairwise(first)) < count / 8


def test_samples_that_cannot_be_learned_from():
    data = Sets(Broken(), Stripes(48), batch_size=16)
    found = read_sample("train", data.train_dataloader(), classes=3)
    assert (found.count, found.read) == (96, 96)
    # An input of infinity times 0 is not a number.
    assert said(found.findings()) == [
        "error: data (train): 3 of 96 samples cannot be learned from (sample 7: OSError: broken data stream in "
        "img7.jpg; sample 11: its input is not finite; sample 13: its label is 3, and there are 3 classes). Repair "
        "them or take them out: a training ends when it comes to one."
    ]
    assert said(read_sample("train", data.train_dataloader(), classes=4).findings())[0].startswith(
        "error: data (train): 2"
    )
    assert read_sample("validation", data.val_dataloader(), classes=3).findings() == []


def test_a_large_set_is_read_in_part():
    data = Sets(Broken(), Stripes(48), batch_size=16)
    found = read_sample("train", data.train_dataloader(), classes=3, seconds=0.0)
    assert (found.count, found.read, found.complaints) == (96, 1, ())

    class AllBroken(Stripes):
        def __getitem__(self, index):
            raise ValueError("no")

    data = Sets(AllBroken(), Stripes(48), batch_size=16)
    (line,) = said(read_sample("train", data.train_dataloader(), classes=3, seconds=0.0).findings())
    assert line.endswith("a training ends when it comes to one. 95 more were not read.")
    (line,) = said(read_sample("train", data.train_dataloader(), classes=3).findings())
    assert "sample 2: ValueError: no; and 93 more)" in line


def test_a_teacher_near_chance():
    (line,) = on_stripes(network(4, seed=3))
    assert line.startswith("error: teacher: the teacher is no better than chance: accuracy ")
    assert "% on 48 validation samples, against 33.3 %. Check its weights, its classes and the data's" in line
    (line,) = on_stripes(network(4, seed=3), check=False)
    assert line.startswith("warning: teacher: ")
    assert on_stripes(trained_network()) == []


def test_a_student_that_knows_more():
    (line,) = on_stripes(trained_network(), student=trained_network())
    assert line == (
        "warning: teacher: the teacher is no better than the untrained student: accuracy 100.0 % on 48 validation "
        "samples, against 100.0 %. Choose a better teacher."
    )


def test_a_teacher_of_the_same_classes_in_another_order():
    model = trained_network()
    turned = copy.deepcopy(model)
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(turned.fc, name).copy_(getattr(model.fc, name)[[1, 2, 0]])
    line = on_stripes(turned)[-1]
    assert line == (
        "error: teacher: the teacher's classes stand in another order: 0.0 % right, and 100.0 % with other names (it "
        "says 0 where the data says 1, 1 where the data says 2, 2 where the data says 0). Say it in the teacher's "
        "section: classes: [2, 0, 1]."
    )
    assert on_stripes(Teacher(turned, classes=[2, 0, 1])) == []


def test_names_of_classes(here, tmp_path):
    folder = shutil.copytree(here / "run", tmp_path / "run")
    data = make_data(tiny())
    assert order_of_classes(standing(network(), folder=folder), data) == []
    assert order_of_classes(standing(network()), data) == []
    card = json.loads((folder / "model.json").read_text())
    where = next(part for part in (card, card.get("extra", {})) if "class_names" in part)
    where["class_names"][3:5] = ["4", "3"]
    (folder / "model.json").write_text(json.dumps(card))
    assert said(order_of_classes(standing(network(), folder=folder), data)) == [
        "error: teacher: class 3 is '3' in the data, and '4' for the teacher. Say it in the teacher's section: "
        "classes: by_name."
    ]
    where["class_names"][3:5] = ["three", "4"]
    (folder / "model.json").write_text(json.dumps(card))
    assert said(order_of_classes(standing(network(), folder=folder), data)) == [
        "warning: teacher: class 3 is '3' in the data, and 'three' for the teacher. Make sure that both mean the same "
        "by each number."
    ]


@pytest.fixture
def folders(tmp_path):
    """Two classes of images, 6 and 4 of each."""
    draws = torch.Generator().manual_seed(0)
    for split, count in (("train", 6), ("val", 4)):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(0, 256, (8, 8, 3), generator=draws, dtype=torch.uint8).numpy()
                Image.fromarray(pixels).save(tmp_path / split / label / f"{index}.png")
    return tmp_path


def pretrained(model, *words):
    section = {"model": model, "weights": "included"}
    teacher = json.dumps(section)
    return read_recipe("digits", [f"teacher={teacher}", *words])


def test_what_pretrained_weights_declare(folders):
    data = ImageFolder(root=str(folders), size=8, resize=8)
    assert of_data(data) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    (mean,), (std,) = of_data(make_data(tiny()))
    assert (mean, std) == (pytest.approx(0.3053), pytest.approx(0.3760))
    other = ImageFolder(root=str(folders), size=8, resize=8, mean_and_std=((0.5,) * 3, (0.5,) * 3))
    timm = {"class_path": "stillroom.models.timm", "init_args": {"name": "test_resnet", "num_classes": 2}}
    recipe = pretrained(timm)
    each = standing(recipe_model(recipe))
    declared = each.network.pretrained_cfg["mean"]
    alike = other if declared[0] == 0.5 else data
    unlike = data if alike is other else other
    assert normalised_alike(recipe, "teacher", each, alike) == []
    (line,) = said(normalised_alike(recipe, "teacher", each, unlike))
    assert line.startswith("warning: teacher: its weights want pixels with mean (0.")
    assert line.endswith("Normalise the data like that, or give the teacher a transform.")
    assert normalised_alike(tiny(), "teacher", each, unlike) == []  # one that is trained here sees what there is


def test_what_torchvisions_weights_declare(folders):
    section = {"class_path": "torchvision.models.resnet18", "init_args": {"weights": "IMAGENET1K_V1"}}
    recipe = tiny()
    object.__setattr__(recipe, "teacher", {"model": section, "weights": "included"})
    data = ImageFolder(root=str(folders), size=8, resize=8, mean_and_std=((0.5,) * 3, (0.5,) * 3))
    (line,) = said(normalised_alike(recipe, "teacher", standing(network()), data))
    assert "want pixels with mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225), and the data has" in line
    assert normalised_alike(recipe, "teacher", standing(network()), ImageFolder(root=str(folders))) == []


def recipe_model(recipe):
    from stillroom.runs.build import spec

    return spec("teacher.model", recipe.teacher["model"], home="stillroom.models").make()


def test_a_recipe_whose_teacher_is_trained(here):
    before = files(here)
    drawn = torch.get_rng_state()
    found = check_recipe(tiny())
    assert files(here) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert said(found.findings) == []
    assert [row.name for row in found.terms] == ["kl", "task"]
    assert {name: size.kind for name, size in found.models.items()} == {"student": "SmallCNN", "teacher": "SmallCNN"}
    assert found.models["student"].multiply_adds == 64 * 9 * 2 + 16 * 9 * 4 + 4 * 9 * 8 + 40
    assert [(each.split, each.read) for each in found.read] == [("train", 1197), ("validation", 300)]
    assert (found.pace.batches, found.pace.epochs, found.pace.batch_size, found.pace.peak_bytes) == (19, 2, 64, None)
    assert found.pace.step_seconds > 0
    assert found.pace.epoch_seconds >= 19 * found.pace.step_seconds


def test_a_recipe_whose_teacher_is_not_trained(away):
    found = check_recipe(tiny("seed=7", "teacher.seed=7"))
    assert said(found.findings) == [
        "note: teacher: not trained yet, and examined without what it will know: teacher. stillroom train trains it "
        "first."
    ]
    assert files(away) == {}


@pytest.mark.usefixtures("here")
def test_what_does_not_fit_is_found_and_the_rest_examined():
    found = check_recipe(tiny("terms.hint={loss: L2, student: layer9, teacher: layer1}"))
    assert (found.terms, found.pace) == ((), None)
    assert said(found.findings) == [
        "error: terms.hint.student: SmallCNN has no module 'layer9'. Did you mean 'layer2' or 'layer1' or 'layer2.2'?"
    ]
    assert found.models["teacher"].parameters > 0


def test_classes_that_are_not_the_datas(here, tmp_path):
    folder = shutil.copytree(next((here / "runs" / "teachers").iterdir()), tmp_path / "teacher")
    found = check_recipe(tiny(f"teacher={{from: {folder}, classes: [0, 1, 2]}}", teacher=None))
    assert any(
        "teacher: the model's classes are not the data's; expected logits (N, 10) for" in x
        for x in said(found.findings)
    )


@pytest.mark.parametrize(
    ("name", "parts", "note"),
    [
        ("digits-mutual", ["task", "mutual", "peer1_task", "peer1_mutual"], None),
        ("digits-mean-teacher", ["kl", "task"], None),
        ("digits-byot", ["task", "branch1_task", "branch1_logits", "branch1_feature"], None),
        ("digits-dafl", ["kl"], "note: algorithm: examined on images of the generator as it begins; its own"),
        (
            "digits-two-stage",
            ["ft", "task"],
            "note: algorithm: the paraphraser's 5 epochs are not",
        ),
        ("digits-shared-mask", ["kl", "task"], None),
        ("digits-team", ["kl", "task"], None),
    ],
)
@pytest.mark.usefixtures("away")
def test_other_algorithms(name, parts, note):
    found = check_recipe(read_recipe(name), batches=1)
    assert [row.name for row in found.terms][: len(parts)] == parts
    assert sum(row.share for row in found.terms) == pytest.approx(1.0)
    assert not any(finding.severity == "error" for finding in found.findings)
    lines = [line for line in said(found.findings) if "not trained yet" not in line]
    assert (lines == []) if note is None else lines[0].startswith(note)


@pytest.mark.usefixtures("away")
def test_a_detector(shapes):
    words = ["student.num_classes=2", "student.channels=16", "student.backbone=test_resnet"]
    words += [f"data.{word}" for word in (f"root={shapes}", "folder=voc", "image_size=64", "batch_size=3")]
    found = check_recipe(read_recipe("retinanet-bccd", words), batches=1)
    assert [row.name for row in found.terms] == ["task"]
    assert found.findings == ()
    assert [(each.split, each.read) for each in found.read] == [("train", 6), ("validation", 4)]
    assert found.models["student"].multiply_adds > 0


@pytest.mark.usefixtures("away")
def test_samples_that_cannot_be_read_do_not_end_the_visit(folders):
    (folders / "train" / "cat" / "2.png").write_text("no image")
    words = [f"data={{class_path: ImageFolder, init_args: {{root: {folders}, size: 8, resize: 8, batch_size: 12}}}}"]
    words += ["student.in_channels=3", "student.num_classes=2", "teacher=null", "terms={}"]
    found = check_recipe(read_recipe("digits", words), batches=1)
    error, note = said(found.findings)
    assert error.startswith(
        "error: data (train): 1 of 12 samples cannot be learned from (sample 2: UnidentifiedImageError"
    )
    assert note == "note: data: what needs samples that cannot be read was not examined (UnidentifiedImageError)."
    assert found.models["student"].parameters > 0


def test_ensembles_are_counted_member_by_member():
    from stillroom.diagnosis import networks

    one, two = network(), network(seed=1)
    assert networks(Teacher(Ensemble([Teacher(one), two]))) == [one, two]


@pytest.mark.parametrize(("limit", "count"), [(1.0, 6), (0.5, 3), (4, 4), (99, 6), (0.01, 1)])
def test_batches_of_an_epoch(limit, count):
    assert batches_of_an_epoch(stripes(), TrainerSettings(max_epochs=1, limit_train_batches=limit)) == count


def test_batches_are_spread_over_the_set():
    batches = spread_batches(stripes().val_dataloader(), 2, 8)
    assert [len(batch["labels"]) for batch in batches] == [8, 8]
    assert batches[0]["index"].tolist() == list(islice(spread(48), 8))
    assert sum(len(batch["labels"]) for batch in spread_batches(stripes().val_dataloader(), 9, 16)) == 48


def test_too_few_batches():
    with pytest.raises(StillroomError, match=r"^--batches: there are too few batches; expected at least 1, got 0\.$"):
        check_recipe(read_recipe("digits", TINY), batches=0)
