"""YOLOv3's boxes in ONNX and as an exported program, with a network that takes no time to trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from stillroom.export import same_choices, same_values, write_exported_program, write_onnx
from stillroom.models import YOLOv3Boxes
from stillroom.models.yolo_network import STRIDES, Prediction
from stillroom.models.yolov3 import ANCHORS

CLASSES, SIZE = 2, (64, 96)


class Tiny(nn.Module):
    """What a YOLOv3 says, without the network: of each cell one convolution of its mean colour."""

    anchors, conf_threshold, nms_iou, nms_top, keep = ANCHORS, 0.2, 0.45, 40, 12

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.heads = nn.ModuleList(nn.Conv2d(3, 3 * (5 + CLASSES), 1) for _ in STRIDES)
        for head in self.heads:
            nn.init.normal_(head.weight, std=6.0)
            nn.init.constant_(head.bias, -2.0)  # of a black image it says nothing

    def predictions(self, images: Tensor) -> list[Prediction]:
        found = []
        for stride, head in zip(STRIDES, self.heads, strict=True):
            values = head(nn.functional.avg_pool2d(images, stride)).unflatten(1, (3, -1))
            found.append(Prediction(*(values[:, :, place] for place in range(5)), values[:, :, 5:]))
        return found


def boxes(*, nms: bool) -> YOLOv3Boxes:
    return YOLOv3Boxes(Tiny(), nms=nms).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def run(path: Path, images: Tensor) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(torch.from_numpy, session.run(None, {"input": images.numpy()})), strict=True))


def test_onnx_tells_all(images: Tensor, tmp_path: Path) -> None:
    model, path = boxes(nms=False), tmp_path / "model.onnx"
    assert write_onnx(model, path, example=images) < 1e-3
    for count in (1, 2, 5):
        found, right = run(path, images[:count]), model(images[:count])
        assert list(found) == ["boxes", "scores"]
        for name, value in found.items():
            torch.testing.assert_close(value, right[name].detach(), atol=1e-3, rtol=1e-4)


def test_onnx_chooses(images: Tensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also where nothing is above the threshold, and for another number of images than it was traced with."""
    model, path = boxes(nms=True), tmp_path / "model.onnx"
    assert write_onnx(model, path, example=images[:3], compare=same_choices) < 1e-3
    assert capfd.readouterr() == ("", "")
    for count in (1, 5):
        found, right = run(path, images[:count]), model(images[:count])
        assert list(found) == ["boxes", "scores", "labels"]
        assert [tuple(value.shape) for value in found.values()] == [(count, 12, 4), (count, 12), (count, 12)]
        assert (found["labels"] >= 0).any()
        same_choices([*map(Tensor.detach, right.values())], [*found.values()], 1e-4)
    for name, value in run(path, torch.zeros_like(images)).items():
        assert set(value.flatten().tolist()) == {-1 if name == "labels" else 0}


@pytest.mark.parametrize(("nms", "compare"), [(False, same_values), (True, same_choices)])
def test_an_exported_program(
    images: Tensor, tmp_path: Path, nms: bool, compare: Callable[[list[Tensor], list[Tensor], float], float]
) -> None:
    model, path = boxes(nms=nms), tmp_path / "model.pt2"
    assert write_exported_program(model, path, example=images, compare=compare) == 0
    found, right = torch.export.load(path).module()(images[:2]), model(images[:2])
    assert list(found) == list(right)
    compare([*map(Tensor.detach, right.values())], [*map(Tensor.detach, found.values())], 1e-6)
