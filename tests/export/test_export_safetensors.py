"""The weights in a safetensors file are all there, and are compared after they were read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from export_models import Named, Pair, Random, Tied
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export import safetensors_file, write_safetensors
from stillroom.models import SmallCNN, load_weights


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (SmallCNN(width=4), torch.rand(3, 1, 8, 8)),
        (SmallCNN(width=4).to(memory_format=torch.channels_last), torch.rand(1, 1, 8, 8)),
        (Named(), torch.rand(3, 4)),
        (Pair(), torch.rand(3, 4)),
        (Tied(), torch.randint(5, (3, 6))),
        (nn.Linear(4, 2).bfloat16(), torch.rand(3, 4).bfloat16()),
    ],
    ids=["cnn", "channels last", "dict", "tuple", "tied", "bfloat16"],
)
def test_there_and_back(model: nn.Module, example: Tensor, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert write_safetensors(model, tmp_path / "a.safetensors", example=example) == 0.0
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_tied_tensors_are_written_once_and_parts_of_others_by_themselves(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    write_safetensors(model, tmp_path / "a.safetensors", example=torch.tensor([[1, 2]]))
    assert load_file(tmp_path / "a.safetensors").keys() == {"embed.weight", "table", "row"}
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(other.head.weight, model.head.weight)


def test_the_readers_of_safetensors_itself_understand_tied_tensors(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    model, other = tied(), tied()
    write_safetensors(model, tmp_path / "a.safetensors", example=torch.rand(2, 3))
    load_model(other, tmp_path / "a.safetensors")
    assert torch.equal(other(torch.eye(3)), model(torch.eye(3)))


def test_the_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_safetensors(nn.Linear(2, 2), tmp_path / "a.safetensors", example=torch.rand(2, 2))
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_weights_that_are_not_in_the_file_are_noticed(tmp_path: Path) -> None:
    class Hidden(nn.Linear):
        def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
            return {name: value * 2 for name, value in super().state_dict(*args, **kwargs).items()}

    with pytest.raises(StillroomError, match=r"answers differently after it was read back, so no file was kept"):
        write_safetensors(Hidden(4, 2), tmp_path / "a.safetensors", example=torch.rand(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_the_answers_come_from_the_file_and_not_from_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_file, "load_weights", lambda _model, _path: None)
    with pytest.raises(StillroomError, match="answers differently"):
        write_safetensors(nn.Linear(4, 2), tmp_path / "a.safetensors", example=torch.rand(3, 4))


def test_a_random_model_is_refused_and_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(StillroomError, match=r"at most .*tolerance 0\.0001.* got 0\..*random in evaluation mode"):
        write_safetensors(Random(), tmp_path / "a.safetensors", example=torch.rand(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_the_tolerance_can_be_set(tmp_path: Path) -> None:
    assert 0 < write_safetensors(Random(), tmp_path / "a.safetensors", example=torch.rand(3, 4), tolerance=2.0) < 1


def test_a_state_beyond_tensors_is_refused(tmp_path: Path) -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

        def set_extra_state(self, state: object) -> None: ...

    with pytest.raises(StillroomError, match="_extra_state: only tensors can be written; expected a tensor, got dict"):
        write_safetensors(Extra(2, 2), tmp_path / "a.safetensors", example=torch.rand(1, 2))
