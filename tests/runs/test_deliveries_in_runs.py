"""Deliveries through a whole run: in training, and only there."""

from __future__ import annotations

import re

import pytest
import yaml
from tiny_runs import QUIET, Stripes, network, rows, tiny, trained_network, weights

import stillroom as kd
from stillroom.models import HiddenPatches
from stillroom.patching import find_function
from stillroom.runs import compare_recipe, read_recipe, train

DRAW = "stillroom.models.hidden_patches.draw_visible"
QUICK = (
    "trainer.max_epochs=1",
    "trainer.progress=false",
    "teacher.trainer.max_epochs=1",
    "teacher.trainer.progress=false",
    "teacher.check=false",
    "trainer.limit_train_batches=3",
    "teacher.trainer.limit_train_batches=3",
)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A place of its own: other tests count the teachers in the shared one."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("away")
def test_teacher_and_student_look_through_the_same_mask(tmp_path):
    shared, own = (
        train(read_recipe("digits-shared-mask", [*QUICK, *words]), out=tmp_path / name)
        for name, words in (("shared", []), ("own", ["deliveries.mask=null"]))
    )
    assert rows(shared.folder)[-1]["kl"] != rows(own.folder)[-1]["kl"]
    config = yaml.safe_load((shared.folder / "config.yaml").read_text())["deliveries"]
    assert config["mask"]["class_path"] == "stillroom.deliveries.FunctionDelivery"
    assert config["mask"]["init_args"]["path"] == DRAW
    assert yaml.safe_load((own.folder / "config.yaml").read_text())["deliveries"] == {}


@pytest.mark.usefixtures("away")
def test_alone_nothing_is_delivered(tmp_path):
    found = compare_recipe(read_recipe("digits-shared-mask", QUICK), seeds=1, out=tmp_path / "pair")
    other = compare_recipe(
        read_recipe("digits-shared-mask", [*QUICK, "deliveries={}"]), seeds=1, out=tmp_path / "without"
    )
    assert weights(found.folder / "alone-0") == weights(other.folder / "alone-0")
    assert weights(found.folder / "distilled-0") != weights(other.folder / "distilled-0")


def test_the_call_that_delivers(tmp_path):
    """In each of its steps, and in the two dry batches before, the student draws no mask of its own."""

    def draws(name, deliveries):
        calls = []

        def count(proceed, *_):
            calls.append(name)
            return proceed()

        leave = find_function(DRAW).enter(count)
        try:
            run = kd.distill(
                HiddenPatches(network()),
                HiddenPatches(trained_network(), always=True),
                Stripes(),
                Stripes(32, seed=1),
                terms={"kl": kd.Term(kd.losses.KLDivergence(tau=4.0))},
                deliveries=deliveries,
                epochs=1,
                batch_size=16,
                out=tmp_path / name,
                trainer=QUIET,
            )
        finally:
            leave()
        return len(calls), run.results.steps

    (without, steps), (delivered, _) = (
        draws("without", None),
        draws("delivered", {"mask": kd.FunctionDelivery(DRAW)}),
    )
    assert without - delivered == steps + 2 == 8
    assert "FunctionDelivery" in (tmp_path / "delivered" / "config.yaml").read_text()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deliveries.a=FunctionDelivery"], "deliveries.a: FunctionDelivery needs the argument 'path'."),
        (["deliveries.a=L2"], "deliveries.a: there is no 'L2' in stillroom.deliveries. There are: Delivery, Fu"),
        (["deliveries.a=torch.nn.ReLU"], "deliveries.a: this is no delivery; got torch.nn.ReLU."),
        (
            ["deliveries.a={class_path: FunctionDelivery, init_args: {path: torch.nothing}}"],
            "deliveries.a: torch has no 'nothing'",
        ),
        (
            ["deliveries.a={class_path: FunctionDelivery, init_args: {path: torch.rand, teacher: big}}"],
            "deliveries.a.teacher: there is no teacher 'big'. There are: teacher.",
        ),
        (
            ["deliveries.a={class_path: FunctionDelivery, init_args: {path: torch.rand}}"],
            "deliveries.a: function 'torch.rand' was never called in the teacher's forward pass.",
        ),
        (["deliveries.a=null"], "-o deliveries.a: there is no delivery 'a'."),
    ],
)
def test_what_cannot_be_delivered(words, message, tmp_path):
    with pytest.raises(kd.StillroomError, match=f"^{re.escape(message)}"):
        train(tiny(*words), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
