"""Connectors through a whole run: trained, saved, resumed, and gone from what is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_runs import results, tiny, weights

from stillroom import Distiller
from stillroom.errors import StillroomError
from stillroom.models import SmallCNN
from stillroom.runs import read_recipe
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.terms import make_terms, term_specs
from stillroom.runs.train import resume, train

RECIPE = """
student: {class_path: SmallCNN, init_args: {num_classes: 10, in_channels: 1, width: 2}}
teacher: {model: {class_path: SmallCNN, init_args: {num_classes: 10, in_channels: 1, width: 8}}}
data: {class_path: Digits, init_args: {batch_size: 64}}
terms:
  fitnets:                                  # the sites of FitNets, Factor Transfer's connector, the attention loss
    loss: AttentionTransfer
    student: layer1
    teacher: layer1
    connector: {class_path: Translator, init_args: {in_channels: 2, factor_channels: 16}}
  chain:
    loss: L2
    student: layer2
    teacher: {class_path: ModuleOutputs, init_args: {path: layer2}}
    connector:
      - {class_path: ConvNormAct, init_args: {in_channels: 4, out_channels: 8, activation: relu}}
      - {class_path: Conv1x1, init_args: {in_channels: 8, out_channels: 16}}
    teacher_connector: {class_path: Standardize}
  auto: {loss: L2, student: layer2, teacher: layer1, connector: auto}
optimizer: {class_path: SGD, init_args: {lr: 0.01, momentum: 0.9}}
trainer: {max_epochs: 2, progress: false, checkpoint_every: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "recombined.yaml"
    path.write_text(RECIPE)
    return path


def test_methods_recombine_by_configuration_and_what_they_train_is_kept(recipe: Path) -> None:
    words = ["teacher.check=false"]
    run = train(read_recipe(recipe, words), out="run")
    state = read_checkpoint(Path("run/checkpoints/last.ckpt"))["state_dict"]
    first = read_checkpoint(Path("run/checkpoints/epoch-1.ckpt"))["state_dict"]
    trained = [key for key in state if ".connectors." in key and key.endswith(("weight", "bias"))]
    assert {key.split(".")[2] for key in trained} == {"fitnets", "chain", "auto"}
    assert all(not torch.equal(state[key], first[key]) for key in trained if key.endswith("weight"))
    assert load_file("run/model.safetensors").keys() == dict(run.model.state_dict()).keys()
    assert not any("connector" in name or "hook" in name for name in load_file("run/model.safetensors"))


SHARES = {
    "fine": {"loss": "L2", "student": "layer1", "teacher": "layer1", "connector": "terms.hint"},
    "hint": {
        "loss": "L2",
        "student": "layer1",
        "teacher": "layer1",
        "connector": {"class_path": "Conv1x1", "init_args": {"in_channels": 2, "out_channels": 8}},
        "teacher_connector": "Standardize",
    },
    "look": {
        "loss": "AttentionTransfer",
        "student": "layer1",
        "teacher": "layer1",
        "connector": "terms.fine",
        "teacher_connector": "terms.hint",
    },
    "auto": {"loss": "L2", "student": "layer2", "teacher": "layer1", "connector": "auto"},
}


def test_terms_share_a_connector_by_name() -> None:
    specs = term_specs(SHARES)
    terms = make_terms(specs)
    assert list(terms) == list(SHARES)
    assert terms["fine"].connector is terms["hint"].connector is terms["look"].connector is not None
    assert terms["look"].teacher_connector is terms["hint"].teacher_connector is not terms["fine"].teacher_connector
    assert make_terms(specs)["hint"].connector is not terms["hint"].connector
    plain = {name: spec.plain() for name, spec in specs.items()}
    assert (plain["look"]["connector"], plain["look"]["teacher_connector"]) == ("terms.fine", "terms.hint")
    assert {name: spec.plain() for name, spec in term_specs(plain).items()} == plain
    del terms["auto"]
    models = (SmallCNN(num_classes=10, in_channels=1, width=width) for width in (2, 8))
    distiller, calls = Distiller(*models, terms=terms), []
    distiller.connectors["hint"].register_forward_hook(lambda *_: calls.append(1))
    distiller.prepare(torch.randn(2, 1, 8, 8))
    calls.clear()
    assert distiller(torch.randn(2, 1, 8, 8)).losses.keys() == {"fine", "hint", "look"} and calls == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fine": "terms.hnt"},
            "terms.fine.connector: there is no other term 'hnt'. Did you mean 'hint'?",
        ),
        (
            {"hint": "terms.hint"},
            "terms.hint.connector: there is no other term 'hint'. Did you mean 'fine'?",
        ),
        ({"hint": "terms.look"}, "terms: these terms share connectors in a circle; got fine, hint, look."),
        (
            {"hint": None},
            "terms.fine.connector: only a connector that is given by class can be shared; got None in terms.hint.",
        ),
        (
            {"fine": "terms.auto"},
            "terms.fine.connector: only a connector that is given by class can be shared; got auto in terms.auto.",
        ),
    ],
)
def test_connectors_that_cannot_be_shared(changes: dict[str, object], message: str) -> None:
    given = {name: {**term} for name, term in SHARES.items()}
    for name, connector in changes.items():
        given[name]["connector"] = connector
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        term_specs(given)


def test_resumed_they_end_with_the_same_bits(recipe: Path) -> None:
    train(read_recipe(recipe, ["teacher.check=false"]), out="run")
    whole = weights(Path("run")), read_checkpoint(Path("run/checkpoints/last.ckpt"))["state_dict"]
    (Path("run") / "results.json").unlink()
    resume(Path("run/checkpoints/epoch-1.ckpt"))
    again = read_checkpoint(Path("run/checkpoints/last.ckpt"))["state_dict"]
    assert weights(Path("run")) == whole[0]
    assert all(torch.equal(again[key], value) for key, value in whole[1].items())


def test_what_auto_came_to_is_said_and_stands_in_the_configuration(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(read_recipe(recipe, ["teacher.check=false", "trainer.max_epochs=1", "trainer.progress=true"]), out="run")
    note = "terms.auto.connector: auto is "
    (said,) = [line for line in capsys.readouterr().err.splitlines() if note in line]
    assert said.startswith(f"run: {note}") and "4" in said and "8" in said
    text = (Path("run") / "config.yaml").read_text()
    assert text.startswith(f"# {note}")
    assert yaml.safe_load(text)["terms"]["auto"]["connector"] == "auto"
    assert read_recipe(Path("run/config.yaml")).plain()["terms"] == read_recipe(recipe).plain()["terms"]


@pytest.mark.usefixtures("here")
def test_a_recorder_in_a_recipe(tmp_path: Path) -> None:
    site = "{class_path: FunctionOutputs, init_args: {path: torch.nn.functional.cross_entropy}}"
    outputs = "{class_path: Parameter, init_args: {path: fc.bias}}"
    words = [f"terms.bias={{loss: L2, student: {outputs}, teacher: {outputs}}}", "trainer.max_epochs=1"]
    with pytest.raises(StillroomError, match=r"^terms\.bias: wrong number of axes"):
        train(tiny(*words), out=tmp_path / "a")
    words[0] = words[0].replace("fc.bias", "fc.weight").replace("loss: L2", "loss: L2, connector: auto")
    train(tiny(*words), out=tmp_path / "b")
    assert "bias" in (tmp_path / "b" / "metrics.csv").read_text()
    plain = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())["terms"]["bias"]["student"]
    assert plain == {"class_path": "stillroom.recorders.Parameter", "init_args": {"path": "fc.weight"}}
    assert results(tmp_path / "b")["steps"] == 19
    message = (
        "^terms.fn.student: function 'torch.nn.functional.cross_entropy' was never called in the forward pass.*conv2d"
    )
    with pytest.raises(StillroomError, match=message):
        train(tiny(f"terms.fn={{loss: L2, student: {site}}}"), out=tmp_path / "c")
    assert not (tmp_path / "c").exists()
