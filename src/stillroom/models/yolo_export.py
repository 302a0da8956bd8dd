"""YOLOv3 with tensors of fixed shapes in and out, as formats that trace a model want it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import nms as suppressed

from stillroom.models.yolo_decode import candidates, surest
from stillroom.models.yolo_network import scales
from stillroom.models.yolov3 import YOLOv3

NOTHING = -1
"""The label of a place that is not filled."""


class YOLOv3Boxes(nn.Module):
    """A YOLOv3 without its loss, whose output has one shape whatever is in the images.

    Args:
        model: shared, not copied.
        nms: choose among overlapping boxes as the model does; else tell all of them.

    Shape:
        images (N, 3, H, W) as the model takes them. Without ``nms`` a dict of ``boxes`` (N, M, 4), corners x1, y1, x2,
        y2 in pixels within the input, and ``scores`` (N, M, num_classes), for all M anchors of all cells. With it
        ``boxes`` (N, keep, 4), ``scores`` (N, keep) and ``labels`` (N, keep), the surest first, fewer than
        ``keep`` where there are not so many at all; where an image has fewer, the label is -1, and box and score are 0.
    """

    def __init__(self, model: YOLOv3, *, nms: bool = False) -> None:
        super().__init__()
        self.model, self.nms = model, nms

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found, size = self.model.predictions(images), (images.shape[2], images.shape[3])
        anchors = found[0].x.new_tensor(self.model.anchors)
        boxes, scores = candidates(found, scales(anchors), image_size=size)
        if not self.nms:
            return {"boxes": boxes, "scores": scores.transpose(1, 2)}
        top, rows = surest(boxes, scores, self.model.nms_top)
        kept = self._chosen(rows, top, size).flatten(1)
        best, places = kept.topk(min(self.model.keep, kept.shape[1]))
        there = best > 0
        chosen = rows.flatten(1, 2).gather(1, places.unsqueeze(-1).expand(-1, -1, 4))
        return {
            "boxes": chosen * there.unsqueeze(-1),
            "scores": best,
            "labels": torch.where(there, places // top.shape[2], NOTHING),
        }

    def _chosen(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """The scores (N, C, K) of what remains of the boxes (N, C, K, 4), 0 for all others."""
        flat = scores.flatten()
        at = (flat > self.model.conf_threshold).nonzero().squeeze(1)
        group, classes = at // scores.shape[2], scores.shape[1]
        # One run for all: each image and each class gets a part of the plane of its own.
        apart = torch.stack([group % classes * (size[1] + 1), group // classes * (size[0] + 1)] * 2, -1)
        best = at[suppressed(boxes.flatten(0, 2)[at] + apart, flat[at], self.model.nms_iou)]
        return torch.zeros_like(flat).scatter(0, best, flat[best]).view_as(scores)
