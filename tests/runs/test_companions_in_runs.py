"""Mutual learning, mean teacher and self-distillation through whole runs: trained, resumed, written, left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import refused, results, rows, same_bits, weights

from stillroom.connectors import SelfBranch
from stillroom.models import SmallCNN, load_weights
from stillroom.reports.results import from_json
from stillroom.runs import compare_recipe, fit, read_recipe, train
from stillroom.runs.checkpoints import read_checkpoint
from stillroom.runs.load import load
from stillroom.runs.train import make_data, make_job, resume

QUICK = (
    "trainer.max_epochs=2",
    "trainer.progress=false",
    "trainer.limit_train_batches=4",
    "trainer.checkpoint_every=1",
)
COMPANIONS = {
    "digits-mutual": ["peer1"],
    "digits-mean-teacher": ["teacher"],
    "digits-byot": ["branch1", "branch2"],
}
PARTS = {
    "digits-mutual": {"task", "mutual", "peer1_task", "peer1_mutual"},
    "digits-mean-teacher": {"task", "kl"},
    "digits-byot": {"task", *(f"branch{b}_{p}" for b in (1, 2) for p in ("task", "logits", "feature"))}
    - {"branch2_feature"},
}
CNN = "{class_path: stillroom.models.SmallCNN, init_args: {width: %d, num_classes: %d, in_channels: %d}}"


def quick(name: str, *words: str):
    return read_recipe(name, [*QUICK, *words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("companions")
    for name in COMPANIONS:
        train(quick(name), out=place / name)
    return place


@pytest.mark.parametrize("name", COMPANIONS)
def test_what_is_left_behind(name: str, place: Path) -> None:
    folder = place / name
    assert {path.parent.name for path in folder.glob("*/model.safetensors")} == {*COMPANIONS[name]}
    assert load_file(folder / "model.safetensors").keys() == SmallCNN(width=4).state_dict().keys()
    assert load(folder).fc.in_features == 8
    found = results(folder)
    assert (found["role"], found["teacher"]) == ("distilled", {})
    assert found["companions"].keys() == {*COMPANIONS[name]}
    for companion, facts in found["companions"].items():
        assert facts["folder"] == str(folder / companion)
        assert facts["validation"]["epoch"] == 2
        assert 0 < facts["test"]["accuracy"] < 1
        assert json.loads((folder / companion / "model.json").read_text())["extra"]["role"] == companion
    assert {key.removesuffix("_share") for key in rows(folder)[0] if key.endswith("_share")} == PARTS[name]


def test_results_without_companions_are_read(place: Path) -> None:
    found = results(place / "digits-mutual")
    assert from_json(found).companions.keys() == {"peer1"}
    del found["companions"]
    assert from_json(found).companions == {}


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_resumed_run_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Weights, statistics, the optimizer's memory, and all that was trained beside the student."""
    folder = tmp_path / "run"
    train(quick(name), out=folder)
    whole = read_checkpoint(folder / "checkpoints/last.ckpt")
    files = {path: load_file(path) for path in folder.glob("**/model.safetensors")}
    table = rows(folder)
    (folder / "results.json").unlink()
    resume(folder / "checkpoints/epoch-1.ckpt")
    again = read_checkpoint(folder / "checkpoints/last.ckpt")
    same(again["state_dict"], whole["state_dict"])
    same(again.get("mean_teacher", {}), whole.get("mean_teacher", {}))
    states = [each["optimizer_states"][0]["state"] for each in (again, whole)]
    for key, state in states[1].items():
        same(states[0][key], state)
    for path, tensors in files.items():
        same(load_file(path), tensors)
    assert rows(folder) == table


def same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], value) for key, value in other.items() if isinstance(value, torch.Tensor))


def test_a_peer_and_a_mean_teacher_are_networks(place: Path) -> None:
    peer = SmallCNN(width=8)
    load_weights(peer, place / "digits-mutual/peer1/model.safetensors")
    kept = read_checkpoint(place / "digits-mutual/checkpoints/last.ckpt")["state_dict"]
    assert torch.equal(peer.fc.weight, kept["peers.0.fc.weight"])
    average = load(place / "digits-mean-teacher/teacher", SmallCNN(width=4))
    assert not same_bits(average, load(place / "digits-mean-teacher"))


def test_a_branch_is_a_module(place: Path) -> None:
    branch = SelfBranch(4, 8, 10)
    load_weights(branch, place / "digits-byot/branch1/model.safetensors")
    kept = read_checkpoint(place / "digits-byot/checkpoints/last.ckpt")["state_dict"]
    assert torch.equal(branch.classifier.weight, kept["branches.branch1.classifier.weight"])


def test_the_student_starts_from_the_same_weights_as_alone_and_peers_from_others(tmp_path: Path) -> None:
    recipe = quick("digits-mutual", f"algorithm.peers=[{CNN % (4, 10, 1)}]").with_seed(3)
    jobs = [make_job(each, make_data(each), tmp_path, "alone") for each in (recipe.without_teacher(), recipe, recipe)]
    assert same_bits(jobs[1].student, jobs[0].student)
    peers = [fit.rehearsed(job).peers[0] for job in jobs[1:]]
    assert same_bits(*peers)
    assert not torch.equal(peers[0].fc.weight, jobs[1].student.fc.weight)
    assert same_bits(jobs[1].student, jobs[0].student)


def test_compared_with_the_student_alone(tmp_path: Path) -> None:
    """Peers that teach nothing leave the student what it is alone: same weights, batches and steps."""
    words = ["algorithm.weight=0", "trainer.checkpoint_every=null"]
    compare_recipe(quick("digits-mutual", *words), seeds=1, out=tmp_path / "c")
    assert weights(tmp_path / "c" / "distilled-0") == weights(tmp_path / "c" / "alone-0")


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("digits-mutual", ["algorithm.peers=[]"], "algorithm.peers: nobody is there to learn from; expected one peer"),
        (
            "digits-mutual",
            [f"algorithm.peers=[{CNN % (4, 7, 1)}]"],
            "algorithm.peer1: the model's classes are not the data's; expected logits (N, 10) for Digits, got (8, 7).",
        ),
        (
            "digits-mutual",
            [f"algorithm.peers=[{CNN % (4, 10, 3)}]"],
            "algorithm.peer1: SmallCNN does not take the data's inputs; expected a model of (8, 1, 8, 8), got Runtime",
        ),
        (
            "digits-byot",
            ["algorithm.feature=pole"],
            "algorithm.feature: SmallCNN has no module 'pole'. Did you mean 'pool'",
        ),
        ("digits-byot", ["student.width=5"], "algorithm.branch1: SelfBranch cannot read this feature; expected a map"),
        ("digits-mean-teacher", ["terms={}"], "terms: nothing reads the mean teacher. Add a term, such as KLDiv"),
        (
            "digits-mean-teacher",
            ["teacher=digits"],
            "teacher: the algorithm makes the teacher of the student; expected null, got another teacher.",
        ),
    ],
)
def test_what_is_found_before_anything_is_trained(name: str, words: list[str], message: str, away: Path) -> None:
    refused(away, message, lambda: train(quick(name, *words), out="run"))
    refused(away, message, lambda: compare_recipe(quick(name, *words), seeds=1, out="c"))


def test_plain_ddp_suits_mutual_learning(tmp_path: Path) -> None:
    """Every parameter of every player has a gradient in each step: nothing has to be searched for."""
    recipe = quick("digits-mutual", "trainer.devices=2", "trainer.accelerator=cpu")
    job = make_job(recipe, make_data(recipe), tmp_path, "distilled")
    strategy = fit._trainer(job, fit.rehearsed(job).distiller, []).strategy
    assert strategy._ddp_kwargs.get("find_unused_parameters", False) is False


def test_two_processes_keep_all_players_in_step(tmp_path: Path) -> None:
    words = [*QUICK, "trainer.devices=2", "trainer.accelerator=cpu", "trainer.max_epochs=1"]
    command = [sys.executable, "-m", "stillroom", "train", "-c", "digits-mutual", "--out", "run", "-o", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "run")
    assert found["steps"] == 4
    peer, kept = load_file(tmp_path / "run/peer1/model.safetensors"), tmp_path / "run/checkpoints/last.ckpt"
    assert torch.equal(peer["fc.weight"], read_checkpoint(kept)["state_dict"]["peers.0.fc.weight"])
    (row,) = [row for row in rows(tmp_path / "run") if row["phase"] == "train"]
    assert float(row["peer1_mutual"]) > 0
