"""The graph of torch.export runs without the model's code, for any batch size, and is compared."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from export_models import Branching, Changed, FixedBatch, Named, Pair, Tied
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export import write_exported_program
from stillroom.models import SmallCNN


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (SmallCNN(width=4), torch.rand(3, 1, 8, 8)),
        (nn.Sequential(nn.Linear(4, 4), nn.Dropout()), torch.rand(1, 4)),
        (Named(), torch.rand(3, 4)),
        (Pair(), torch.rand(3, 4)),
        (Tied(), torch.randint(5, (3, 6))),
    ],
    ids=["cnn", "dropout", "dict", "tuple", "tied"],
)
def test_there_and_back(model: nn.Module, example: Tensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert write_exported_program(model, tmp_path / "a.pt2", example=example) <= 1e-6
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt2"]
    assert all(module.training for module in model.modules())
    assert capfd.readouterr() == ("", "")


def test_the_file_answers_for_any_batch_size(tmp_path: Path) -> None:
    model = SmallCNN(width=4)
    write_exported_program(model, tmp_path / "a.pt2", example=torch.rand(3, 1, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reread = torch.export.load(tmp_path / "a.pt2").module()
    model.eval()
    for size in (1, 2, 3, 17):
        images = torch.rand(size, 1, 8, 8)
        assert torch.allclose(reread(images), model(images), atol=1e-6)


def test_the_file_keeps_neither_samples_nor_paths_of_this_machine(tmp_path: Path) -> None:
    secret = torch.full((2, 4), 1234.5678)
    write_exported_program(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), tmp_path / "a.pt2", example=secret)
    with zipfile.ZipFile(tmp_path / "a.pt2") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert secret[0, :1].numpy().tobytes() not in content
    assert b".py" not in content


def test_a_graph_that_answers_differently_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_text("old")
    with pytest.raises(StillroomError, match=r"answers differently .*, got 1\."):
        write_exported_program(Changed(), tmp_path / "a.pt2", example=torch.rand(3, 4))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.pt2", "old")]


@pytest.mark.parametrize("model", [Branching(), FixedBatch()])
def test_models_without_one_graph_are_refused(model: nn.Module, tmp_path: Path) -> None:
    name = type(model).__name__
    with pytest.raises(
        StillroomError, match=f"{name} cannot be traced with a free batch size; got .*has no single graph"
    ):
        write_exported_program(model, tmp_path / "a.pt2", example=torch.rand(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_an_example_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillroomError, match=r"no batch of samples; expected \(N, \.\.\.\), got \(0, 4\)"):
        write_exported_program(nn.Linear(4, 2), tmp_path / "a.pt2", example=torch.rand(0, 4))
