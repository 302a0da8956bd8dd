"""What YOLOv3 finds, against plain loops."""

from __future__ import annotations

import pytest
import torch
import yolo_reference as reference
from torch import Tensor
from yolo_scenes import CLASSES, predictions, raw_heads

from stillroom.models.yolo_decode import Detections, corners, detections
from stillroom.models.yolo_network import scales
from stillroom.models.yolov3 import ANCHORS

SIZE = (96, 64)


def found_in(
    heads: list[Tensor], *, conf: float = 0.01, nms: float = 0.45, top: int = 1000, keep: int = 100
) -> Detections:
    own = scales(torch.tensor(ANCHORS, dtype=heads[0].dtype))
    return detections(
        predictions(heads), own, image_size=SIZE, conf_threshold=conf, nms_iou=nms, nms_top=top, keep=keep
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conf": 0.3},
        {"nms": 0.2},
        {"nms": 0.8},
        {"top": 7},
        {"keep": 5},
        {"conf": 0.0, "top": 40, "keep": 90},
    ],
)
def test_the_detections(options: dict[str, float]) -> None:
    heads = raw_heads(size=SIZE, count=2, seed=7, spread=1.5)
    found = found_in(heads, **options)
    named = {"confidence": 0.01, "nms": 0.45, "top": 1000, "keep": 100}
    named |= {{"conf": "confidence"}.get(name, name): value for name, value in options.items()}
    for image, each in enumerate(found):
        expected = reference.detections([head.numpy() for head in heads], image, list(ANCHORS), **named)
        assert len(expected) > 4
        assert each["labels"].tolist() == [label for _, label, _ in expected]
        torch.testing.assert_close(each["scores"], torch.tensor([score for score, _, _ in expected]).double())
        torch.testing.assert_close(each["boxes"], torch.tensor([box for _, _, box in expected]).double())
        assert (each["boxes"] >= 0).all() and (each["boxes"].amax(0) <= torch.tensor([63, 95, 63, 95])).all()


def test_the_box_of_a_cell() -> None:
    heads = [torch.zeros(1, 3 * (5 + CLASSES), SIZE[0] // stride, SIZE[1] // stride) for stride in (32, 16, 8)]
    heads[1][0, 5 + CLASSES + 2, 4, 1] = torch.tensor(2.0).log()
    boxes = corners(predictions(heads)[1], scales(torch.tensor(ANCHORS, dtype=torch.float32))[1])
    assert boxes.shape == (1, 3, 6, 4, 4)
    # cell (1, 4) of 16 pixels, its middle at (24, 72), and the anchor 62 x 45 twice as wide
    torch.testing.assert_close(boxes[0, 1, 4, 1], torch.tensor([24 - 62, 72 - 22.5, 24 + 62, 72 + 22.5]))


def test_nothing_is_found() -> None:
    heads = [torch.full_like(head, -9.0) for head in raw_heads(size=SIZE, count=2, seed=0)]
    for each in found_in(heads):
        assert {name: tuple(value.shape) for name, value in each.items()} == {
            "boxes": (0, 4),
            "scores": (0,),
            "labels": (0,),
        }


def test_classes_do_not_suppress_each_other() -> None:
    heads = [torch.full_like(head, -20.0) for head in raw_heads(size=SIZE, count=1, seed=0)]
    heads[2][0, : 5 + CLASSES, 3, 3] = torch.tensor([0.0, 0, 0, 0, 9, 3, 2, -9])
    heads[2][0, 2 * (5 + CLASSES) :, 3, 3] = torch.tensor([0.0, 0, -1, -0.5, 9, -9, 4, -9])  # as large, nearly
    (found,) = found_in(heads)
    assert found["labels"].tolist() == [1, 0]
    both = found_in(heads, nms=1.0)[0]
    assert both["labels"].tolist() == [1, 0, 1]


def test_a_score_at_the_threshold_does_not_count() -> None:
    """Objectness one half and a class one half: the first reaches 0.5 and does not exceed a quarter in the product."""
    heads = [torch.full_like(head, -20.0) for head in raw_heads(size=SIZE, count=1, seed=0)]
    heads[2][0, :6, 3, 3] = 0.0
    assert len(found_in(heads, conf=0.25)[0]["scores"]) == 0
    assert found_in(heads, conf=0.2499)[0]["scores"].tolist() == [0.25]
    heads[2][0, 5, 3, 3] = 99.0
    assert len(found_in(heads, conf=0.5)[0]["scores"]) == 0
    heads[2][0, 4, 3, 3] = 0.001
    assert len(found_in(heads, conf=0.5)[0]["scores"]) == 1
