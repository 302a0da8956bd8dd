"""SimKD from the recipe to the file that is shipped: the projector and the teacher's classifier go along."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import QUIET, TINY, Stripes, trained_network, weights

import stillroom as kd
from stillroom.cli.main import main
from stillroom.losses import SimKD
from stillroom.models import SimKDStudent, SmallCNN
from stillroom.runs import Recipe, compare_recipe, load, read_recipe
from stillroom.runs.train import resume, train


def recipe(*words: str) -> Recipe:
    kept = [word for word in TINY if not word.startswith(("student.", "teacher"))]
    return read_recipe("digits-method", ["variant=SimKD", "trainer.checkpoint_every=1", *kept, *words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One comparison, with its teacher."""
    folder = tmp_path_factory.mktemp("simkd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare_recipe(recipe(), seeds=1, out="comparison")
    return folder


def test_alone_is_the_plain_student_and_both_are_loaded_again(place: Path) -> None:
    alone, distilled = (load(place / "comparison" / name) for name in ("alone-0", "distilled-0"))
    assert isinstance(alone, SmallCNN)
    assert isinstance(distilled, SimKDStudent)
    (teacher,) = (place / "runs" / "teachers").iterdir()
    assert torch.equal(distilled.network.fc.weight, load(teacher).fc.weight)


def test_a_run_that_is_resumed_ends_as_one_that_was_not(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    shutil.copytree("comparison/distilled-0", "stopped")
    for name in ("results.json", "model.json", "model.safetensors", "report.html"):
        Path("stopped", name).unlink()
    train(recipe(), out="whole")
    shutil.copy("whole/config.yaml", "stopped/config.yaml")  # that of a run, not of a part of a comparison
    resume("stopped/checkpoints/epoch-1.ckpt")
    assert weights(Path("stopped")) == weights(Path("whole")) == weights(Path("comparison/distilled-0"))


def test_export_says_what_is_in_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    main(["export", "comparison/distilled-0", "--format", "safetensors", "torch", "--out", "shipped"])
    own = sum(p.numel() for p in SmallCNN(num_classes=10, width=4).parameters()) - 90
    said = capsys.readouterr().out
    assert f"It is more than the student, and has these parameters: {own:,} of the student and 11," in said
    assert "of the projector and 650 of the teacher's classifier." in said
    main(["export", "comparison/alone-0", "--format", "safetensors", "--out", "plain"])
    assert "more than the student" not in capsys.readouterr().out


def test_by_the_call_with_objects(tmp_path: Path) -> None:
    """The plain student is what is trained alone; what is inherited does not reach it."""
    teacher = trained_network()
    term = kd.Term(SimKD(), student="network.layer2.projector", teacher="layer2")

    def make() -> SimKDStudent:
        return SimKDStudent(SmallCNN(num_classes=3, width=4), features="layer2", classifier="fc", channels=(8, 16))

    found = kd.compare(
        make,
        teacher,
        Stripes(),
        Stripes(seed=1),
        seeds=1,
        make_alone=lambda: SmallCNN(num_classes=3, width=4),
        inherit={"network.fc": "fc"},
        terms={"simkd": term},
        task_weight=0,
        epochs=2,
        out=tmp_path / "c",
        trainer=QUIET,
    )
    counts = {row.name: row.parameters for row in found.results.rows}
    assert counts["student distilled"] > counts["student alone"]
    distilled = load(tmp_path / "c" / "distilled-0", make())
    assert torch.equal(distilled.network.fc.weight, teacher.fc.weight)
