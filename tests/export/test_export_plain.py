"""A folder of weights and facts: both files or none, and they belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from export_models import Tied

from stillroom.errors import StillroomError
from stillroom.export import ModelCard, read_plain, write_plain
from stillroom.models import SmallCNN, load_weights

FACTS: dict[str, Any] = {"num_classes": 2, "class_names": ["Katze", "Bär"], "input_shape": [1, 8, 8], "role": "student"}


def write(folder: Path, **changes: Any) -> SmallCNN:
    model = SmallCNN(width=2)
    arguments = {"class_path": "stillroom.models.SmallCNN", "init_args": {"width": 2}, "extra": FACTS} | changes
    write_plain(model, folder, **arguments)
    return model


def test_there_and_back(tmp_path: Path) -> None:
    model = write(tmp_path / "run")
    card = read_plain(str(tmp_path / "run"))
    weights = tmp_path / "run" / "model.safetensors"
    assert card == ModelCard("stillroom.models.SmallCNN", {"width": 2}, weights, FACTS)
    other = SmallCNN(width=2)
    load_weights(other, card.weights)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["model.json", "model.safetensors"]


def test_a_model_given_as_an_object_has_no_class_path(tmp_path: Path) -> None:
    write_plain(Tied(), tmp_path, class_path=None, init_args=None, extra={})
    assert json.loads((tmp_path / "model.json").read_text())["class_path"] is None
    card = read_plain(tmp_path)
    assert (card.class_path, card.init_args, card.extra) == (None, None, {})
    load_weights(Tied(), card.weights)


@pytest.mark.parametrize("bad", [{"extra": {"a": object()}}, {"init_args": {"a": {1}}}, {"extra": {"a": float("nan")}}])
def test_what_json_does_not_know_is_refused_and_the_old_files_stay(bad: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "config.yaml").write_text("neighbour")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(StillroomError, match=r"model\.json: a value has no place in JSON; got .*Use numbers, strings"):
        write(tmp_path, **bad)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_second_model_replaces_the_first(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, extra={"role": "teacher"})
    assert read_plain(tmp_path).extra == {"role": "teacher"}


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StillroomError, match=f"no model can be read .*got FileNotFoundError: .*{name}"):
        read_plain(tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"), [("{", "JSONDecodeError"), ("{}", "KeyError: 'class_path'"), ("[]", "TypeError")]
)
def test_a_damaged_card(content: str, kind: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(StillroomError, match=f"no model can be read from the folder; expected model.json .*got {kind}"):
        read_plain(tmp_path)


def test_a_flipped_bit_in_the_weights(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        StillroomError, match=r"not the weights that model\.json was written for; expected sha256 \w{64}, got"
    ):
        read_plain(tmp_path)
