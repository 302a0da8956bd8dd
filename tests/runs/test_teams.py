"""Several teachers in one recipe: each at its seat, alone or together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from tiny_runs import results, weights
from torch import nn

from stillroom import StillroomError
from stillroom.distillers import Ensemble, Teacher
from stillroom.runs import compare_recipe, load, read_recipe, train
from stillroom.runs.teachers import Training, trained_teachers
from stillroom.runs.train import make_data

QUICK = {"max_epochs": 2, "progress": False}


def net(width: int, classes: int = 10) -> dict[str, object]:
    return {"class_path": "SmallCNN", "init_args": {"num_classes": classes, "in_channels": 1, "width": width}}


def plain(**changes: object) -> dict[str, object]:
    return {
        "student": net(2),
        "teachers": {"wide": {"model": net(8)}, "other": {"model": net(6), "seed": 3}},
        "data": {"class_path": "Digits", "init_args": {"batch_size": 64}},
        "terms": {
            "kl": {"loss": "KLDivergence", "teacher": "wide/"},
            "hint": {"loss": "L2", "student": "layer2", "teacher": "other/layer2", "connector": "auto"},
        },
        "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.05, "momentum": 0.9}},
        "trainer": QUICK,
    } | changes


def write(folder: Path, **changes: object) -> Path:
    path = folder / "team.yaml"
    path.write_text(yaml.safe_dump(plain(**changes), sort_keys=False))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def never(*_: object) -> None:
    raise AssertionError("nothing is left to train")


def test_one_teacher_for_each_term_and_each_is_trained_kept_and_measured(place: Path) -> None:
    path = write(place)
    found = compare_recipe(read_recipe(path), seeds=1, out="c")
    assert {folder.name for folder in (place / "c").iterdir() if folder.is_dir()} == {
        "teacher-wide", "teacher-other", "alone-0", "distilled-0"
    }  # fmt: skip
    assert [row.name for row in found.results.rows] == [
        "teacher wide", "teacher other", "student alone", "student distilled"
    ]  # fmt: skip
    assert len(list((place / "runs" / "teachers").iterdir())) == 2
    said = results(place / "c" / "distilled-0")["teacher"]
    assert said.keys() == {"wide", "other"}
    assert said["wide"]["test"]["accuracy"] > 0.5
    run = train(read_recipe(path), out="again")
    assert weights(run.folder) == weights(place / "c" / "distilled-0")
    text = (place / "c" / "report.html").read_text()
    assert "teacher wide" in text and "teacher other" in text


def test_an_ensemble_of_them_is_a_teacher_too(place: Path) -> None:
    team = plain()["teachers"] | {"all": {"members": ["wide", "other"], "weights": "confidence", "tau": 4.0}}
    terms = {"kl": {"loss": {"class_path": "KLDivergence", "init_args": {"tau": 4.0}}, "teacher": "all/"}}
    path = write(place, teachers=team, terms=terms)
    found = compare_recipe(read_recipe(path), seeds=1, out="c").results
    together = found.rows[2]
    assert together.name == "teacher all"
    assert together.parameters == found.rows[0].parameters + found.rows[1].parameters
    recipe = read_recipe(path)
    networks = trained_teachers(recipe, make_data(recipe), Training(check=never, rehearse=never, train=never))
    assert isinstance(networks["all"].network, Ensemble)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        singles = [networks[name].network(x) for name in ("wide", "other")]
        expected = Ensemble([nn.Identity(), nn.Identity()], weights="confidence", tau=4.0)
        expected.members = nn.ModuleList([Fixed(single) for single in singles])
        torch.testing.assert_close(networks["all"].network(x), expected(x))


class Fixed(nn.Module):
    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.answer


def test_a_teacher_of_other_classes_and_another_size(place: Path) -> None:
    """Its classes are told by their names, and it sees the images twice as large."""
    first = train(read_recipe(write(place, teachers={}, terms={}, student=net(8))), out="ten")
    torch.manual_seed(0)
    more = nn.Linear(16, 12)
    with torch.no_grad():
        more.weight[2:], more.bias[2:] = first.model.fc.weight, first.model.fc.bias
        more.bias[:2] = 50.0  # two classes more, in front, and always the likeliest
    seat = {"from": "twelve", "classes": list(range(2, 12))}
    recipe = read_recipe(write(place, teachers={"big": seat}, terms={"kl": {"loss": "KLDivergence"}}))
    first.model.fc = more
    (place / "twelve").mkdir()
    from stillroom.export import write_plain

    arguments = net(8, classes=12)["init_args"]
    names = ["x", "y", *map(str, range(10))]
    write_plain(
        first.model, "twelve", class_path="stillroom.models.SmallCNN", init_args=arguments, extra={"class_names": names}
    )
    nothing = Training(check=never, rehearse=never, train=never)
    found = trained_teachers(recipe, make_data(recipe), nothing)["big"]
    assert isinstance(found.network, Teacher)
    assert found.facts.test.accuracy == first.results.test.last.accuracy
    named = read_recipe(write(place, teachers={"big": seat | {"classes": "by_name"}}, terms={}, task_weight=1))
    assert trained_teachers(named, make_data(named), nothing)["big"].network.classes == list(range(2, 12))
    larger = seat | {"transform": {"class_path": "Resize", "init_args": {"size": 16}}}
    resized = read_recipe(write(place, teachers={"big": larger}, terms={"kl": {"loss": "KLDivergence"}}))
    run = train(resized, out="resized")
    assert run.results.teacher.keys() == {"big"}
    x = torch.randn(2, 1, 8, 8)
    network = trained_teachers(resized, make_data(resized), nothing)["big"].network
    with torch.no_grad():
        seen = nn.functional.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(x), load("twelve")(seen)[:, 2:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": {"model": net(8)}}, "teachers: one teacher or several, not both. Move it under teachers."),
        ({"teachers": {"a": None}}, "teachers.a: this teacher is none. Leave it out."),
        ({"teachers": {"a": {"modle": net(8)}}}, "teachers.a: unknown key 'modle'. Did you mean 'model'"),
        ({"teachers": {"a": {"model": {"class_path": "SmallCN"}}}}, "teachers.a.model: there is no 'SmallCN'"),
        ({"teachers": {"a": {"members": []}}}, "teachers.a.members: an ensemble needs members; got []."),
        (
            {"teachers": {"a": {"members": ["wid"]}, "wide": {"model": net(8)}}},
            "teachers.a.members: there is no such teacher; got 'wid'. Did you mean 'wide'",
        ),
        (
            {"teachers": {"a": {"from": "digits", "model": net(8)}}},
            "teachers.a: this is no teacher from elsewhere; expected a recipe, run folder, checkpoint or weights file",
        ),
        (
            {"teachers": {"a": {"from": "digits", "classes": "all"}}},
            "teachers.a.classes: these are no classes; expected by_name, or for each class of the student",
        ),
        ({"teachers": {"a": {"model": net(8), "check": 1}}}, "teachers.a.check: this must be true or false; got 1."),
    ],
)
def test_what_is_said_wrong_of_a_team(place: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        read_recipe(write(place, **changes))


def test_label_sets_that_do_not_overlap(place: Path) -> None:
    torch.manual_seed(0)
    from stillroom.export import write_plain
    from stillroom.models import SmallCNN

    (place / "pets").mkdir()
    for names, message in (
        (None, "teachers.a.classes: nothing says what the teacher's classes are called. Give the indices: classes:"),
        (
            ["cat", "dog"],
            "teachers.a.classes: the teacher does not know all classes of the data; expected 0, 1, 2, 3, 4, 5, 6, 7, "
            "8, 9, got none of cat, dog for 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        ),
    ):
        arguments = net(4, classes=2)["init_args"]
        extra = {"class_names": names}
        model = SmallCNN(num_classes=2, width=4)
        write_plain(model, "pets", class_path="stillroom.models.SmallCNN", init_args=arguments, extra=extra)
        recipe = read_recipe(write(place, teachers={"a": {"from": "pets", "classes": "by_name"}}, terms={}))
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
            trained_teachers(recipe, make_data(recipe), Training(check=never, rehearse=never, train=never))
    several = {"a": {"from": "pets"}}
    recipe = read_recipe(write(place, teachers=several, terms={}))
    with pytest.raises(StillroomError, match=r"^teachers\.a: .*classes"):
        trained_teachers(recipe, make_data(recipe), Training(check=never, rehearse=never, train=never))


def test_which_teacher_the_student_inherits_from(place: Path) -> None:
    path = write(place, student=net(6), inherit={"fc": "other/fc"})
    run = train(read_recipe(path, ["trainer.max_epochs=1", "optimizer.lr=0.0"]), out="heir")
    (other,) = (folder for folder in (place / "runs" / "teachers").iterdir() if load(folder).fc.in_features == 12)
    assert torch.equal(run.model.fc.weight, load(other).fc.weight)
    with pytest.raises(StillroomError, match=re.escape("inherit.fc: which teacher?; expected wide/fc or other/fc")):
        train(read_recipe(write(place, student=net(6), inherit={"fc": "fc"})), out="lost")


def test_a_term_that_does_not_say_which_teacher(place: Path) -> None:
    path = write(place, terms={"kl": {"loss": "KLDivergence"}})
    with pytest.raises(StillroomError, match=re.escape("terms.kl.teacher: which teacher? There are wide, other")):
        train(read_recipe(path), out="x")
    assert not (place / "runs").exists()


def test_weights_that_the_model_itself_brings_are_never_trained(place: Path) -> None:
    teacher = {"model": net(4), "weights": "included", "check": False}
    recipe = read_recipe(write(place, teachers={"own": teacher}, terms={"kl": {"loss": "KLDivergence"}}))
    found = trained_teachers(recipe, make_data(recipe), Training(check=never, rehearse=never, train=never))
    assert found["own"].folder is None
    assert read_recipe(write(place, **recipe.plain())).plain() == recipe.plain()


def test_overrides_reach_into_one_of_several_teachers(place: Path) -> None:
    path = write(place)
    recipe = read_recipe(path, ["teachers.wide.model.width=3", "teachers.other.trainer.max_epochs=7"])
    assert recipe.teachers["wide"]["model"]["init_args"]["width"] == 3
    assert recipe.teachers["other"]["trainer"]["max_epochs"] == 7
    assert recipe.teachers["wide"]["trainer"]["max_epochs"] == 2
    assert recipe.teacher_recipe("wide").student.init_args["width"] == 3
    fewer = read_recipe(path, ["teachers.other=null", "terms.hint=null"])
    assert list(fewer.teachers) == ["wide"]
    with pytest.raises(StillroomError, match=r"^teachers\.wide\.model: SmallCNN has no argument 'widht'"):
        read_recipe(path, ["teachers.wide.model.widht=3"])
    with pytest.raises(StillroomError, match=r"^-o teachers\.wild: there is no teacher 'wild'\. Did you mean 'wide'"):
        read_recipe(path, ["teachers.wild=null"])
