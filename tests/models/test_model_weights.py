"""Weights from files: every container that is met in the wild, and every way in which a file does not fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.models import SmallCNN, load_weights, read_weights


def net(seed: int = 0, **arguments: int) -> SmallCNN:
    torch.manual_seed(seed)
    return SmallCNN(width=2, **arguments)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


STATE = net().state_dict()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


CONTENTS = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "best_acc": torch.tensor(0.5)},
    "both": {"state_dict": {"model": STATE}},
    "data parallel": {"model": prefixed("module.")},
    "compiled": prefixed("_orig_mod."),
    "compiled data parallel": prefixed("module._orig_mod."),
    "distillation": {
        "epoch": 1,
        "state_dict": prefixed("distiller.student.") | {"distiller.terms.hint.connector.weight": torch.zeros(2)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
    },
    "compiled distillation": {"state_dict": prefixed("distiller.student._orig_mod.")},
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_every_container_gives_the_plain_weights(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    torch.save(CONTENTS[kind], file)
    assert same(read_weights(str(file)), STATE)
    other = net(seed=1)
    assert not same(other.state_dict(), STATE)
    load_weights(other, file)
    assert same(other.state_dict(), STATE)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_every_suffix(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    save_file(STATE, file) if suffix == ".safetensors" else torch.save(STATE, file)
    assert same(read_weights(file), STATE)


def test_a_prefix_that_only_some_keys_have_is_kept(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "a.pt")
    assert read_weights(tmp_path / "a.pt").keys() == {"module.a", "b"}


def test_a_model_with_a_child_called_module_loads_its_own_file(tmp_path: Path) -> None:
    model = nn.ModuleDict({"module": nn.Linear(2, 2)})
    torch.save(model.state_dict(), tmp_path / "a.pt")
    other = nn.ModuleDict({"module": nn.Linear(2, 2)})
    load_weights(other, tmp_path / "a.pt")
    assert same(other.state_dict(), model.state_dict())


def test_tied_tensors_come_back_under_both_names(tmp_path: Path) -> None:
    model = nn.ModuleDict({"embed": nn.Linear(3, 3, bias=False), "head": nn.Linear(3, 3, bias=False)})
    model["head"].weight = model["embed"].weight
    save_model(model, str(tmp_path / "a.safetensors"))
    assert same(read_weights(tmp_path / "a.safetensors"), model.state_dict())


def test_half_precision_files_load_into_the_models_own_precision(tmp_path: Path) -> None:
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in STATE.items()}, tmp_path / "a.pt"
    )
    model = net(seed=1)
    load_weights(model, tmp_path / "a.pt")
    assert model.fc.weight.dtype == torch.float32
    assert torch.allclose(model.fc.weight, STATE["fc.weight"], atol=1e-3)


def refused(model: nn.Module, file: Path, match: str) -> None:
    """The load fails with this message, names the file and leaves the model as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(StillroomError, match=match) as caught:
        load_weights(model, file)
    assert str(file) in str(caught.value)
    assert same(model.state_dict(), before)


def test_another_number_of_classes(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pt")
    match = (
        r"a\.pt into SmallCNN: 2 of 20 tensors have another shape in the file; expected fc\.weight \(7, 4\), "
        r"fc\.bias \(7,\), got fc\.weight \(10, 4\), fc\.bias \(10,\)\. Build the model .* num_classes"
    )
    refused(net(num_classes=7, seed=1), tmp_path / "a.pt", match)


def test_another_models_keys(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(1)} | {name: STATE[name] for name in list(STATE)[1:]}, tmp_path / "a.pt")
    match = r"another model; expected the model's 20 keys, of which the file lacks stem\.0\.weight, "
    refused(net(), tmp_path / "a.pt", match + r"got 20 keys, of which the model lacks conv\.weight\.")
    torch.save({"x": torch.ones(1)}, tmp_path / "a.pt")
    refused(net(), tmp_path / "a.pt", r"lacks stem\.0\.weight, stem\.1\.weight, stem\.1\.bias and 17 more, got 1 keys")
    torch.save(STATE | {"x": torch.ones(1)}, tmp_path / "a.pt")
    refused(net(), tmp_path / "a.pt", "of which the file lacks none, got 21 keys, of which the model lacks x")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(net(), tmp_path / "no.pt", "there is no such file of weights")


def test_an_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"x")
    refused(net(), tmp_path / "a.h5", r"unknown kind of file; expected \.safetensors, \.pt, \.pth, \.ckpt, got \.h5")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 20, 0.5, 0.99])
def test_a_truncated_file(suffix: str, keep: float, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    save_file(STATE, file) if suffix == ".safetensors" else torch.save(STATE, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    refused(net(), file, "cannot be read as weights; got .*The file is damaged")


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "extra": Hostile(f"touch {tmp_path / 'ran'}")}, tmp_path / "a.pth")
    refused(net(), tmp_path / "a.pth", "cannot be read as weights; got UnpicklingError.*code would have to run")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("content", "kinds"), [({"epoch": 3, "name": "x"}, r"\['int', 'str'\]"), ({}, "nothing")])
def test_a_file_without_weights(content: object, kinds: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    refused(net(), tmp_path / "a.pt", f"holds no weights; expected tensors by name, got {kinds}")


def test_a_lone_tensor_is_another_model(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / "a.pt")
    refused(net(), tmp_path / "a.pt", "of which the model lacks ")
