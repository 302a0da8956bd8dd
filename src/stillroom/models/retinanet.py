"""RetinaNet on any backbone of timm: torchvision's heads, anchors, matcher and losses, in sizes that small sets need.

T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal Loss for Dense Object Detection, ICCV 2017.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from stillroom.errors import StillroomError, did_you_mean

__all__ = ["RetinaNet"]

STRIDES = (8, 16, 32)
RATIOS = (0.5, 1.0, 2.0)
GROUPS = 8
"""Of channels that are normalised together; each has two or more, since the smallest maps have one pixel."""
MOST = 100
"""Detections of an image, as many as COCO's measure looks at."""


class RetinaNet(nn.Module):
    """torchvision's RetinaNet without its resizing, and with losses in eval mode too.

    ``detector`` is the ``torchvision.models.detection.RetinaNet``. Nothing is pretrained. Two of these have the same
    anchors, and so assignments that one can take over from the other, if ``anchor_scale`` and the images are the same.

    Args:
        num_classes: of objects; there is none for the background.
        backbone: of timm, with features at strides 8, 16 and 32, such as ``"resnet18"`` or
            ``"mobilenetv3_small_050"``.
        channels: of the feature pyramid and the heads, a multiple of 16; torchvision's own has 256.
        anchor_scale: side of the smallest square anchor of a level in units of its stride.
        fg_iou_thresh: an anchor belongs to a box from this IoU on.
        bg_iou_thresh: and to the background below this one; between the two it is not trained on.
        score_thresh: detections below this score are dropped.
        nms_thresh: of two detections of one class whose IoU exceeds this the weaker one is dropped.

    Shape:
        images (N, 3, H, W) between 0 and 1; targets: for each image ``boxes`` (K, 4) as corners in pixels and
        ``labels`` (K,). With targets ``{"losses": {"classification": scalar, "bbox_regression": scalar}}``; without,
        in eval mode, for each image ``boxes`` (D, 4), ``scores`` (D,) and ``labels`` (D,), the best first
        and at most 100.

    Raises:
        StillroomError: an argument is out of range; a label is not below ``num_classes``; no targets in train mode.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: str = "resnet18",
        channels: int = 64,
        anchor_scale: float = 4.0,
        fg_iou_thresh: float = 0.5,
        bg_iou_thresh: float = 0.4,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value, right in (
            ("num_classes", num_classes, num_classes >= 1),
            (f"channels, a multiple of {2 * GROUPS},", channels, channels >= 1 and channels % (2 * GROUPS) == 0),
            ("anchor_scale", anchor_scale, anchor_scale > 0),
        ):
            if not right:
                raise StillroomError("an argument is out of range", expected=f"{name} above 0", got=value)
        if not 0 < bg_iou_thresh <= fg_iou_thresh <= 1:
            raise StillroomError(
                "the thresholds do not fit",
                expected="0 < bg_iou_thresh <= fg_iou_thresh <= 1",
                got=f"{bg_iou_thresh}, {fg_iou_thresh}",
            )
        self.num_classes = num_classes
        pyramid, anchors = _Pyramid(backbone, channels), _anchors(anchor_scale)
        norm = cast("Callable[..., nn.Module]", partial(nn.GroupNorm, GROUPS))
        self.detector = detection.RetinaNet(
            pyramid,
            num_classes,
            anchor_generator=anchors,
            head=RetinaNetHead(channels, anchors.num_anchors_per_location()[0], num_classes, norm_layer=norm),
            fg_iou_thresh=fg_iou_thresh,
            bg_iou_thresh=bg_iou_thresh,
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=MOST,
        )
        self.detector.transform = cast("Any", _Standardise())

    def forward(self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None) -> Any:
        if targets is not None:
            return {"losses": self._losses(images, [dict(target) for target in targets])}
        if self.training:
            raise StillroomError("a detector in train mode needs targets", fix="Call eval() to detect.")
        return self.detector(images)

    def _losses(self, images: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        highest = max((int(target["labels"].max()) for target in targets if len(target["labels"])), default=-1)
        if highest >= self.num_classes:
            raise StillroomError(
                "the model has fewer classes than the data", expected=f"labels below {self.num_classes}", got=highest
            )
        batch, _ = self.detector.transform(images)
        features = list(self.detector.backbone(batch.tensors).values())
        anchors = self.detector.anchor_generator(batch, features)
        return self.detector.compute_loss(targets, self.detector.head(features), anchors)


class _Pyramid(nn.Module):
    """Features at strides 8, 16, 32, 64 and 128, all with as many channels."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        import timm  # half a second, for a module that most users do not need

        known = timm.list_models()
        if name not in known:
            raise StillroomError(f"timm has no model {name!r}", where="backbone", fix=did_you_mean(name, known))
        self.body: Any = timm.create_model(name, features_only=True, out_indices=(-3, -2, -1))
        strides = tuple(self.body.feature_info.reduction())
        if strides != STRIDES:
            raise StillroomError(f"timm's {name} has other strides", where="backbone", expected=STRIDES, got=strides)
        self.out_channels = channels
        self.fpn = FeaturePyramidNetwork(
            self.body.feature_info.channels(), channels, extra_blocks=LastLevelP6P7(channels, channels)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.fpn(OrderedDict((str(level), feature) for level, feature in enumerate(self.body(images))))


class _Standardise(nn.Module):
    """Stands where torchvision resizes, pads and standardises: the images are of one size already."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):  # ImageNet's
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, targets: None = None) -> tuple[ImageList, None]:
        height, width = images.shape[-2:]
        return ImageList((images - self.mean) / self.std, [(height, width)] * len(images)), targets

    def postprocess(self, result: list[dict[str, Tensor]], *_: object) -> list[dict[str, Tensor]]:
        """Boxes are in pixels of the input already."""
        return result


def _anchors(scale: float) -> AnchorGenerator:
    strides = (*STRIDES, 64, 128)
    sizes = tuple(tuple(stride * scale * 2 ** (third / 3) for third in range(3)) for stride in strides)
    return AnchorGenerator(cast("Any", sizes), (RATIOS,) * len(strides))
