"""The ONNX graph runs in onnxruntime, for any batch size, and is compared."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from export_models import Branching, Changed, Named, Pair, Tied
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export import onnx_file, write_onnx
from stillroom.models import SmallCNN


@pytest.mark.parametrize(
    ("model", "example", "names"),
    [
        (SmallCNN(width=4), torch.rand(3, 1, 8, 8), ["output"]),
        (Named(), torch.rand(1, 4), ["logits", "feature"]),
        (Pair(), torch.rand(3, 4), None),
        (Tied(), torch.randint(5, (3, 6)), ["output"]),
    ],
    ids=["cnn", "dict", "tuple", "tied"],
)
def test_there_and_back(
    model: nn.Module, example: Tensor, names: list[str] | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert write_onnx(model, tmp_path / "a.onnx", example=example) <= 1e-5
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    assert all(module.training for module in model.modules())
    assert capfd.readouterr() == ("", "")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [(value.name, value.shape) for value in session.get_inputs()] == [("input", ["batch", *example.shape[1:]])]
    if names is not None:
        assert [value.name for value in session.get_outputs()] == names


def test_the_file_answers_for_any_batch_size_and_keeps_no_paths(tmp_path: Path) -> None:
    model = SmallCNN(width=4)
    write_onnx(model, tmp_path / "a.onnx", example=torch.rand(3, 1, 8, 8), opset=21)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    model.eval()
    for size in (1, 2, 17):
        images = torch.rand(size, 1, 8, 8)
        found = torch.from_numpy(session.run(None, {"input": images.numpy()})[0])
        assert torch.allclose(found, model(images), atol=1e-5)
    assert b".py" not in (tmp_path / "a.onnx").read_bytes()
    assert [opset.version for opset in onnx.load(tmp_path / "a.onnx").opset_import if opset.domain == ""] == [21]


def test_a_large_model_has_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 0)
    write_onnx(nn.Linear(400, 20), tmp_path / "a.onnx", example=torch.rand(2, 400))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.onnx", "a.onnx.data"]
    assert (
        onnxruntime.InferenceSession(tmp_path / "a.onnx").run(None, {"input": torch.rand(1, 400).numpy()})[0].size == 20
    )


def test_a_graph_that_answers_differently_is_refused_and_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(StillroomError, match=r"answers differently .*, got 1\."):
        write_onnx(Changed(), tmp_path / "a.onnx", example=torch.rand(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_models_without_a_graph_or_a_translation_are_refused(tmp_path: Path) -> None:
    class Untranslatable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x @ x.mT)

    with pytest.raises(StillroomError, match="Branching cannot be traced with a free batch size"):
        write_onnx(Branching(), tmp_path / "a.onnx", example=torch.rand(3, 4))
    with pytest.raises(StillroomError, match="the graph has no translation into ONNX; got "):
        write_onnx(Untranslatable(), tmp_path / "a.onnx", example=torch.rand(2, 3, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_onnxruntime_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillroomError, match="onnxruntime cannot run the graph, so no file was kept; got "):
        write_onnx(nn.Linear(4, 2).bfloat16(), tmp_path / "a.onnx", example=torch.rand(2, 4).bfloat16())
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_the_way_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        StillroomError,
        match=r'ONNX needs onnxscript, onnxruntime, not installed here\. pip install "stillroom\[export\]"',
    ):
        write_onnx(nn.Linear(4, 2), tmp_path / "a.onnx", example=torch.rand(2, 4))
