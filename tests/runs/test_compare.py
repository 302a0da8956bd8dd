"""The same student alone and distilled: door 2 and door 3."""

import functools
import shutil

import pytest
import torch
import yaml
from tiny_runs import QUIET, Stripes, network, refused, results, rows, same_bits, tiny, trained_network, weights
from torch import nn

import stillroom as kd
from stillroom.models import SmallCNN
from stillroom.runs import compare_recipe, resume_comparison
from stillroom.runs.load import load
from stillroom.runs.train import resume, train

make_student = functools.partial(SmallCNN, num_classes=3, width=4)


@pytest.fixture(scope="module")
def teacher():
    return trained_network()


@pytest.fixture(scope="module")
def compared(teacher, tmp_path_factory):
    sets = Stripes(), Stripes(48, seed=1)
    out = tmp_path_factory.mktemp("c") / "out"
    return kd.compare(make_student, teacher, *sets, seeds=2, epochs=1, seed=3, out=out, trainer=QUIET)


@pytest.fixture(scope="module")
def comparison(shop):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop)
        return compare_recipe(tiny("trainer.max_epochs=1"), seeds=2, out="comparison")


def test_what_a_comparison_leaves_behind(compared):
    folders = {path.name for path in compared.folder.iterdir() if path.is_dir()}
    assert folders == {"teacher", "alone-3", "alone-4", "distilled-3", "distilled-4"}
    assert {path.name for path in compared.folder.iterdir() if path.is_file()} == {
        "config.yaml",
        "results.json",
        "report.html",
    }
    assert compared.results.seeds == [3, 4]
    assert [row.name for row in compared.results.rows] == ["teacher", "student alone", "student distilled"]


def test_alone_and_distilled_begin_alike_and_end_apart(compared):
    for seed in (3, 4):
        assert weights(compared.folder / f"alone-{seed}") != weights(compared.folder / f"distilled-{seed}")
    assert weights(compared.folder / "alone-3") != weights(compared.folder / "alone-4")


def test_a_term_of_no_weight_makes_no_difference(teacher, tmp_path):
    """Alone and distilled start from the same weights, see the same batches, and take the same steps."""
    terms = {"none": kd.Term(kd.losses.KLDivergence(tau=4.0), weight=0.0)}
    sets = Stripes(), Stripes(48, seed=1)
    found = kd.compare(make_student, teacher, *sets, seeds=1, epochs=1, terms=terms, out=tmp_path / "c", trainer=QUIET)
    assert weights(found.folder / "alone-0") == weights(found.folder / "distilled-0")


def test_the_same_seeds_twice_give_the_same_bits(compared, teacher, tmp_path):
    sets = Stripes(), Stripes(48, seed=1)
    again = kd.compare(make_student, teacher, *sets, seeds=1, epochs=1, seed=4, out=tmp_path / "c", trainer=QUIET)
    for role in ("alone", "distilled"):
        assert weights(again.folder / f"{role}-4") == weights(compared.folder / f"{role}-4")


def test_what_one_run_learns_does_not_reach_the_next(teacher, tmp_path):
    """A connector given as a module begins as it was given in each run."""
    connector = kd.connectors.Conv1x1(8, 16)
    before = {name: value.clone() for name, value in connector.state_dict().items()}
    terms = {"hint": kd.Term(kd.losses.L2(), student="layer2", teacher="layer2", connector=connector)}
    sets = Stripes(), Stripes(48, seed=1)
    kd.compare(make_student, teacher, *sets, seeds=1, epochs=1, terms=terms, out=tmp_path / "c", trainer=QUIET)
    assert all(torch.equal(before[name], value) for name, value in connector.state_dict().items())


@pytest.mark.usefixtures("here")
def test_alone_it_has_the_task_to_learn_from(teacher, tmp_path):
    sets = Stripes(), Stripes(48, seed=1)
    of_objects = kd.compare(
        make_student, teacher, *sets, seeds=1, epochs=1, task_weight=0, out=tmp_path / "o", trainer=QUIET
    )
    of_a_recipe = compare_recipe(tiny("trainer.max_epochs=1", "task_weight=0"), seeds=1, out=tmp_path / "r")
    for found in (of_objects, of_a_recipe):
        alone, distilled = (rows(found.folder / f"{role}-0")[-1] for role in ("alone", "distilled"))
        assert (alone["loss"], alone["task_share"]) == (alone["task"], "1.0")
        assert (distilled["loss"], distilled["kl_share"]) == (distilled["kl"], "1.0")


def test_one_student_for_all_is_refused(teacher, tmp_path):
    student = network()
    message = "make_student: make_student returned the same object twice. Build a new one in each call."
    sets = Stripes(), Stripes(48)
    refused(tmp_path, message, lambda: kd.compare(lambda: student, teacher, *sets, epochs=1, out=tmp_path / "c"))


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seeds(teacher, tmp_path, seeds):
    message = f"seeds: a comparison needs seeds; expected at least 1, got {seeds}."
    sets = Stripes(), Stripes(48)
    refused(
        tmp_path, message, lambda: kd.compare(make_student, teacher, *sets, epochs=1, seeds=seeds, out=tmp_path / "c")
    )
    refused(tmp_path, message, lambda: compare_recipe(tiny(), seeds=seeds, out=tmp_path / "c"))


def test_nothing_to_compare(tmp_path):
    message = "terms: there is nothing to compare: nothing is distilled."
    refused(tmp_path, message, lambda: compare_recipe(tiny("terms={}"), out=tmp_path / "c"))
    sets = Stripes(), Stripes(48)
    refused(tmp_path, message, lambda: kd.compare(make_student, None, *sets, epochs=1, terms={}, out=tmp_path / "c"))


@pytest.mark.parametrize("name", ["make_student", "make_alone"])
def test_a_model_in_the_place_of_a_factory(teacher, tmp_path, name):
    message = (
        f"{name}: this is no factory; expected a callable that returns a new model, got SmallCNN. "
        "Pass lambda: SmallCNN(...)."
    )
    makers, sets = {"make_student": make_student, name: make_student()}, (Stripes(), Stripes(48))
    call = functools.partial(
        kd.compare, **makers, teacher=teacher, train=sets[0], val=sets[1], epochs=1, out=tmp_path / "c"
    )
    refused(tmp_path, message, call)


def test_a_stopped_one_keeps_what_has_ended(compared, teacher, tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(compared.folder, folder)
    shutil.rmtree(folder / "distilled-4")
    for name in ("results.json", "report.html"):
        (folder / name).unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*-3/*")}
    sets = Stripes(), Stripes(48, seed=1)
    kd.compare(make_student, teacher, *sets, seeds=2, epochs=1, seed=3, out=folder, trainer=QUIET, resume=True)
    assert weights(folder / "distilled-4") == weights(compared.folder / "distilled-4")
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("*-3/*")}
    assert [row["last"]["values"] for row in results(folder)["rows"]] == [
        row["last"]["values"] for row in results(compared.folder)["rows"]
    ]


def test_of_objects_it_is_not_resumed_from_the_command_line(compared):
    message = (
        f"{compared.folder}: what was made of objects cannot be resumed from the command line. Call distill() or com"
    )
    refused(compared.folder, message, lambda: resume_comparison(compared.folder))
    refused(compared.folder, message, lambda: resume(compared.folder))
    run = compared.folder / "alone-3"
    refused(run, f"{run}: what was made of objects cannot be resumed", lambda: resume(run))


def test_the_recipes_runs_are_runs_like_any(comparison, here):
    assert results(here / "comparison" / "teacher")["role"] == "teacher"
    config = yaml.safe_load((here / "comparison" / "alone-1" / "config.yaml").read_text())
    assert (config["seed"], config["teacher"], config["terms"], config["task_weight"]) == (1, None, {}, 1.0)
    assert [row.last.values for row in comparison.results.rows[1:]] == [
        [results(here / "comparison" / f"{role}-{seed}")["test"]["last"]["accuracy"] for seed in (0, 1)]
        for role in ("alone", "distilled")
    ]


@pytest.mark.usefixtures("comparison")
def test_the_recipes_distilled_run_is_that_of_train(here, tmp_path):
    run = train(tiny("trainer.max_epochs=1", "seed=1"), out=tmp_path / "run")
    assert weights(run.folder) == weights(here / "comparison" / "distilled-1")


@pytest.mark.usefixtures("comparison")
def test_a_stopped_recipes_comparison(here, tmp_path):
    folder = tmp_path / "stopped"
    shutil.copytree(here / "comparison", folder)
    for name in ("results.json", "report.html", "distilled-1/results.json", "distilled-0/results.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "distilled-0" / "checkpoints")
    resume_comparison(folder)
    for name in ("distilled-0", "distilled-1"):
        assert weights(folder / name) == weights(here / "comparison" / name)
    assert results(folder)["rows"][2]["last"] == results(here / "comparison")["rows"][2]["last"]


@pytest.mark.usefixtures("comparison")
def test_what_is_no_stopped_comparison(here):
    refused(
        here, "comparison: this run has ended already. See its report.html.", lambda: resume_comparison("comparison")
    )
    refused(here, "nope: this is no run folder; expected a folder with config.yaml.", lambda: resume_comparison("nope"))
    refused(here, "comparison: this run has ended already.", lambda: resume("comparison"))


def test_a_run_is_no_comparison(here, tmp_path):
    shutil.copytree(here / "run", tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    message = f"{tmp_path}/run: this is no comparison. Resume a run with: stillroom train -r."
    refused(tmp_path, message, lambda: resume_comparison(tmp_path / "run"))


@pytest.mark.usefixtures("comparison")
def test_a_comparison_is_no_run(here, tmp_path):
    shutil.copytree(here / "comparison", tmp_path / "c")
    (tmp_path / "c" / "results.json").unlink()
    message = f"{tmp_path}/c: this is a comparison. Resume it with: stillroom compare -r."
    refused(tmp_path, message, lambda: resume(tmp_path / "c"))


def test_a_student_that_does_not_fit_is_found_before_the_teacher_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = "student: the model's classes are not the data's; expected logits (N, 10) for Digits, got (8, 7)."
    refused(tmp_path, message, lambda: compare_recipe(tiny("student.num_classes=7"), seeds=1, out="c"))


def test_its_tables(compared):
    assert "| student distilled |" in compared.markdown()
    assert compared.report() == compared.folder / "report.html"
    assert compared.table().row_count == 3


@pytest.mark.usefixtures("comparison")
def test_loading_its_runs(here):
    assert isinstance(load("comparison/distilled-0"), SmallCNN)
    message = (
        "comparison: this folder holds no trained model; expected model.json. It is a comparison; name one of its runs:"
    )
    refused(here, message, lambda: load("comparison"))


def test_a_teacher_from_objects_is_measured(compared, teacher):
    row = compared.results.rows[0]
    assert row.parameters == sum(parameter.numel() for parameter in teacher.parameters())
    assert row.seconds is None
    assert isinstance(teacher, nn.Module)
    assert same_bits(teacher, trained_network())
