"""YOLOv3 with outputs of one shape: the same boxes as the model's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stillroom.models import YOLOv3, YOLOv3Boxes

CLASSES = 3


@pytest.fixture(scope="module")
def model() -> YOLOv3:
    """Untrained, so of every cell it says something; sure of some by the noise in its heads."""
    torch.manual_seed(0)
    model = YOLOv3("test_resnet", CLASSES, width=32, keep=30, conf_threshold=0.3).eval()
    for head in model.heads:
        torch.nn.init.normal_(head.raw.bias)
        torch.nn.init.normal_(head.raw.weight, std=0.5)
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_all_boxes_with_their_scores(model: YOLOv3, images: Tensor) -> None:
    found = YOLOv3Boxes(model)(images)
    cells = sum(64 // stride * (96 // stride) for stride in (32, 16, 8))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "boxes": (4, 3 * cells, 4),
        "scores": (4, 3 * cells, CLASSES),
    }
    assert found["boxes"].min() >= 0
    assert found["boxes"].amax((0, 1)).tolist() <= [95, 63, 95, 63]
    for place, own in enumerate(model(images)):  # each detection is one of them
        row = (found["boxes"][place].unsqueeze(0) == own["boxes"].unsqueeze(1)).all(-1)
        score = found["scores"][place].T[own["labels"]]
        assert ((score == own["scores"].unsqueeze(1)) & row).any(1).all()


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"keep": 7}, {"nms_top": 5}, {"conf_threshold": 0.9}, {"nms_iou": 0.1}])
def test_the_chosen_boxes_are_those_of_the_model(
    model: YOLOv3, images: Tensor, changes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setattr(model, name, value)
    found = YOLOv3Boxes(model, nms=True)(images)
    assert found["boxes"].shape == (4, min(model.keep, CLASSES * model.nms_top), 4)
    counts = set()
    for place, own in enumerate(model(images)):
        count = len(own["scores"])
        counts.add(count)
        for name, value in own.items():
            torch.testing.assert_close(found[name][place, :count], value)
        rest = {name: set(value[place, count:].flatten().tolist()) for name, value in found.items()}
        assert rest in ({"boxes": {0.0}, "scores": {0.0}, "labels": {-1}}, {name: set() for name in found})
    assert counts != {0} or changes == {"conf_threshold": 0.9}


@torch.no_grad()
def test_nothing_is_found(model: YOLOv3, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "conf_threshold", 1.0)
    found = YOLOv3Boxes(model, nms=True)(images)
    assert (found["labels"] == -1).all()
    assert not found["boxes"].any() and not found["scores"].any()


@torch.no_grad()
def test_no_more_boxes_than_there_are(model: YOLOv3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "keep", 1000)
    found = YOLOv3Boxes(model, nms=True)(torch.rand(1, 3, 32, 32))
    assert found["scores"].shape == (1, 3 * (1 + 4 + 16) * CLASSES)
