"""FGD: Yang et al., Focal and Global Knowledge Distillation for Detectors, CVPR 2022, equations 1 to 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.arguments import check_at_least
from stillroom.losses.boxes import box_weights, check_boxes_of, check_image_size
from stillroom.losses.facts import Facts
from stillroom.losses.modules import applied
from stillroom.losses.relation_block import RelationBlock
from stillroom.losses.shapes import MAPS, check_channels, check_shapes
from stillroom.losses.temperature import check_tau, softmax
from stillroom.losses.tensors import common_precision, detached


@final
class FGD(nn.Module):
    """One level of a detector's pyramid: objects and background apart, the attention, and the relation of pixels.

    The sum of four parts, each divided by N, where ``A_S = H · W · softmax(mean_c |f| / tau)`` and
    ``A_C = C · softmax(mean_hw |f| / tau)`` are a map's attention to pixels and to channels:

    - ``alpha · Σ F A_S(t) A_C(t) (s − t)²``: F is one over the number of cells of the box around a pixel, the largest
      of several, and 0 in the background;
    - ``beta · Σ B A_S(t) A_C(t) (s − t)²``: B is one over the number of background cells there, and 0 in boxes. An
      image without boxes is background;
    - ``gamma · (Σ |A_C(s) − A_C(t)| + Σ |A_S(s) − A_S(t)|)``;
    - ``lambda_ · Σ (R_s(s) − R_t(t))²``, R a relation block of each side. Both learn with this loss alone, the
      teacher's too, and must be in the optimizer; the teacher's map gets no gradient.

    Boxes are scaled by the padded size of the batch, which is what the map covers; the authors' code takes each image's
    own size. Their defaults are for RetinaNet, GFL and SOLO; FCOS (tau 0.8) and RepPoints have 1.6e-3, 8e-4, 8e-4,
    8e-6, two-stage detectors 5e-5, 2.5e-5, 5e-5, 5e-7. One loss for each level.

    Args:
        channels: of the map, at least 2; the student's must be as many, after a connector if need be.
        tau: temperature of the attention, above 0.
        alpha: weight of the objects.
        beta: weight of the background.
        gamma: weight of the attention.
        lambda_: weight of the relation.

    Shape:
        student, teacher: (N, channels, H, W). boxes: for each image (n, 4), corners x1, y1, x2, y2 in pixels of the
        padded input, n may be 0. image_size: (height, width) of the padded input, numbers or a tensor. Returns ().

    Raises:
        StillroomError: for channels below 2, a tau that is none and a weight below 0; for shapes that differ or are of
            other channels, for boxes that are none or of other images, and for an image_size that is none.

    Example:
        >>> map, box = torch.zeros(1, 2, 1, 2), torch.tensor([[0.0, 0.0, 3.0, 3.0]])
        >>> loss = FGD(2, alpha=3.0, beta=0.0, gamma=0.0, lambda_=0.0)
        >>> loss(map + 1, map, boxes=[box], image_size=(8, 16)).detach()  # the box covers 4 cells, 2 beyond the map
        tensor(3.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="map",
        shapes=MAPS,
        paper="Yang et al., CVPR 2022",
        connectors=("Conv1x1",),
        cost="learns a relation block for each side",
        per_sample_mean=True,
        permutation_invariant=False,
    )

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 0.5,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        gamma: float = 5e-4,
        lambda_: float = 5e-6,
    ) -> None:
        super().__init__()
        check_at_least("channels", channels, 2, "a relation block has half of the channels inside")
        check_tau(tau)
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma), ("lambda_", lambda_)):
            check_at_least(name, weight, 0, f"{name} is no weight")
        self.channels, self.tau = channels, tau
        self.alpha, self.beta, self.gamma, self.lambda_ = alpha, beta, gamma, lambda_
        self.student_relation, self.teacher_relation = RelationBlock(channels), RelationBlock(channels)

    def forward(
        self, student: Tensor, teacher: Tensor, *, boxes: Sequence[Tensor], image_size: Sequence[float] | Tensor
    ) -> Tensor:
        check_shapes(student, teacher, MAPS)
        check_channels(student, teacher, (self.channels, self.channels))
        check_boxes_of(boxes, len(student))
        check_image_size(image_size)
        student, teacher = common_precision(student, detached(teacher))
        of_objects = box_weights(boxes, image_size, (student.shape[2], student.shape[3])).to(student.dtype)
        pixels, channels = attention(teacher, self.tau)
        student_pixels, student_channels = attention(student, self.tau)
        places = pixels * (self.alpha * of_objects + self.beta * _of_background(of_objects))
        focal = (places * channels * (student - teacher).square()).sum()
        seen = (student_channels - channels).abs().sum() + (student_pixels - pixels).abs().sum()
        related = applied(self.student_relation, student) - applied(self.teacher_relation, teacher)
        return (focal + self.gamma * seen + self.lambda_ * related.square().sum()) / len(student)


def attention(x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """To the pixels, (N, 1, H, W), and to the channels, (N, C, 1, 1), of a map; each is 1 on average."""
    n, c, h, w = x.shape
    size = x.abs()
    pixels = h * w * softmax(size.mean(1).flatten(1), tau)
    return pixels.view(n, 1, h, w), (c * softmax(size.mean((2, 3)), tau)).view(n, c, 1, 1)


def _of_background(of_objects: Tensor) -> Tensor:
    """One over the number of cells outside of all boxes for each of them, and 0 where there is none."""
    outside = (of_objects == 0).to(of_objects.dtype)
    return outside / outside.sum((1, 2, 3), keepdim=True).clamp_min(1)
