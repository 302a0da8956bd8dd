"""YOLOv3 on any backbone of timm, with the loss and the settings of PaddleDetection.

J. Redmon, A. Farhadi: YOLOv3: An Incremental Improvement, arXiv 1804.02767, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.tensors import at_least_float32
from stillroom.models.parts import check_count
from stillroom.models.yolo_assign import padded
from stillroom.models.yolo_decode import detections
from stillroom.models.yolo_loss import yolo_loss
from stillroom.models.yolo_network import STRIDES, Head, Level, Prediction, he_normal_fan_in, scales, timm_features

__all__ = ["YOLOv3"]

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))


class YOLOv3(nn.Module):
    """Three heads on a pyramid of features, each of which tells three boxes for every cell of its map.

    ``backbone`` gives features at strides 8, 16 and 32. From the coarsest to the finest, ``neck.i`` joins them with
    what ``neck.i-1`` says, in 512, 256 and 128 channels (``width``), and ``heads.i`` looks at the result. A head's raw
    output, a map with the channels [x, y, w, h, objectness, classes ...] for one anchor after the other, is the site
    ``heads.i.raw``, as :class:`~stillroom.losses.YOLOHeadL2` and :class:`~stillroom.losses.YOLOFineGrained` read it;
    ``heads.i.x``, ``.y``, ``.w``, ``.h``, ``.objectness`` and ``.classes`` are its parts.

    The settings are PaddleDetection's. What differs: the features are the last of their stride, as timm has them
    (PaddleDetection taps MobileNetV1 at the first ones of strides 8 and 16); NMS is torchvision's, for which a box is
    ``x2 − x1`` wide, and not one pixel more.

    Args:
        backbone: of timm, such as ``"mobilenetv1_100"`` or ``"resnet34"``, with a prefix that timm knows where it
            needs one (``"local-dir:..."``).
        num_classes: of objects, counted from 0; there is none for the background.
        width: channels of the coarsest level of the neck; the finer ones have a half and a quarter of it.
        anchors: widths and heights in pixels, as many for each head, those of the finest head first. A box is told by
            the anchor whose shape is most like its own.
        ignore_threshold: what is predicted where no box belongs is not held against it if it has a larger IoU than
            this with any box.
        label_smoothing: what is taken off the target of a box's class and given to those of the others; True:
            min(1 / num_classes, 1 / 40).
        objectness_prior: how likely every anchor is to hold an object before anything is learnt (the focal loss' prior,
            arXiv 1708.02002); 0.5 as published. A training of a thousand steps from random weights wants 0.01: at 0.5
            it spends the first of them on telling thousands of cells that they are empty.
        pretrained: load timm's weights of the backbone, from its cache or the network. They want images that are
            normalised as timm says, and nothing is normalised here.
        conf_threshold: the score of a detection, objectness times class, must exceed it.
        nms_iou: of two detections of one class whose IoU exceeds this the less sure one is dropped.
        nms_top: most detections of a class that are compared.
        keep: most detections of an image.

    Shape:
        images (N, 3, H, W), or a list of N (3, H, W) of one size; H and W are multiples of 32. Targets: for each image
        ``boxes`` (K, 4), corners x1, y1, x2, y2 in pixels, of which only the part within the image counts; ``labels``
        (K,); and where images are mixed ``scores`` (K,), how much each box counts. Boxes without an area or with score
        0 are as if they were not there. With targets the output is ``{"losses": {"centre": scalar, "size": scalar,
        "objectness": scalar, "classes": scalar}}``, each a sum over cells and a mean over images; without, in eval
        mode, for each image ``boxes`` (D, 4), ``scores`` (D,) and ``labels`` (D,), the best first.

    Raises:
        StillroomError: an argument is out of range; images or targets do not fit; no targets in train mode.
    """

    def __init__(  # noqa: PLR0913 - a recipe sets them all in one place
        self,
        backbone: str = "mobilenetv1_100",
        num_classes: int = 20,
        *,
        width: int = 512,
        anchors: Sequence[Sequence[float]] = ANCHORS,
        ignore_threshold: float = 0.7,
        label_smoothing: bool | float = False,
        objectness_prior: float = 0.5,
        pretrained: bool = False,
        conf_threshold: float = 0.01,
        nms_iou: float = 0.45,
        nms_top: int = 1000,
        keep: int = 100,
    ) -> None:
        super().__init__()
        for name, count in (("num_classes", num_classes), ("nms_top", nms_top), ("keep", keep)):
            check_count(name, count)
        if width < 4 or width % 4:
            raise StillroomError("bad width", expected="a multiple of 4, 4 or more", got=width)
        smoothing = min(1 / num_classes, 1 / 40) if label_smoothing is True else float(label_smoothing)
        for name, value, most in (
            ("ignore_threshold", ignore_threshold, 1),
            ("label_smoothing", smoothing, 0.5),
            ("conf_threshold", conf_threshold, 1),
            ("nms_iou", nms_iou, 1),
        ):
            if not 0 <= value <= most:
                raise StillroomError("an argument is out of range", expected=f"0 <= {name} <= {most}", got=value)
        if not 0 < objectness_prior < 1:
            raise StillroomError(
                "an argument is out of range", expected="0 < objectness_prior < 1", got=objectness_prior
            )
        self.num_classes, self.anchors = num_classes, _checked(anchors)
        self.ignore_threshold, self.smoothing = ignore_threshold, smoothing
        self.conf_threshold, self.nms_iou, self.nms_top, self.keep = conf_threshold, nms_iou, nms_top, keep
        per_head = len(self.anchors) // len(STRIDES)
        self.backbone = timm_features(backbone, pretrained=pretrained)
        fine, middle, coarse = self.backbone.feature_info.channels()
        one, two, three = width, width // 2, width // 4
        self.neck = nn.ModuleList(
            [Level(coarse, one), Level(middle, two, coarser=one), Level(fine, three, coarser=two)]
        )
        self.heads = nn.ModuleList([Head(channels, per_head, num_classes) for channels in (one, two, three)])
        he_normal_fan_in(self.neck)
        he_normal_fan_in(self.heads)
        for head in self.heads:
            cast("Head", head).expect(objectness_prior)

    def forward(self, images: Tensor | Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None) -> Any:
        if targets is None and self.training:
            raise StillroomError("a detector in train mode needs targets", fix="Call eval() to detect.")
        batch = _together(images)
        size = (batch.shape[2], batch.shape[3])
        predictions = [Prediction(*map(at_least_float32, each)) for each in self.predictions(batch)]
        like = predictions[0].x.detach()
        own = scales(like.new_tensor(self.anchors))
        if targets is not None:
            boxes = padded(targets, count=len(batch), image_size=size, num_classes=self.num_classes, like=like)
            losses = yolo_loss(
                predictions,
                boxes,
                own,
                image_size=size,
                ignore_threshold=self.ignore_threshold,
                smoothing=self.smoothing,
            )
            return {"losses": losses}
        return detections(
            predictions,
            own,
            image_size=size,
            conf_threshold=self.conf_threshold,
            nms_iou=self.nms_iou,
            nms_top=self.nms_top,
            keep=self.keep,
        )

    def predictions(self, images: Tensor) -> list[Prediction]:
        """What the heads say of images (N, 3, H, W), the coarsest first: the network without loss and decoding."""
        found: list[Prediction] = []
        route: Tensor | None = None
        features = reversed(self.backbone(images))
        for feature, level, head in zip(features, self.neck, self.heads, strict=True):
            route = level(feature, route)
            found.append(head(route))
        return found


def _checked(anchors: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    pairs = tuple(tuple(float(side) for side in pair) for pair in anchors)
    if not pairs or len(pairs) % len(STRIDES):
        raise StillroomError(
            "the anchors cannot be shared out among the heads", expected="a multiple of 3 of them", got=len(pairs)
        )
    for pair in pairs:
        if len(pair) != 2 or min(pair) <= 0:
            raise StillroomError("this is no anchor", expected="a width and a height above 0", got=pair)
    return pairs


def _together(images: Tensor | Sequence[Tensor]) -> Tensor:
    """The batch of images, checked."""
    if not isinstance(images, Tensor):
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) != 1:
            raise StillroomError(
                "the images of a batch differ", expected="one size", got=shapes, fix="Resize them in the data."
            )
        images = torch.stack(list(images))
    if images.ndim != 4 or images.shape[1] != 3:
        raise StillroomError("these are no images", expected="(N, 3, H, W)", got=tuple(images.shape))
    if any(side == 0 or side % STRIDES[0] for side in images.shape[2:]):
        raise StillroomError(
            "the size of the images does not fit",
            expected=f"height and width that are multiples of {STRIDES[0]}",
            got=tuple(images.shape[2:]),
            fix="Resize or pad them in the data.",
        )
    return images
