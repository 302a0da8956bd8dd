"""FBKD: Zhang, Ma, Improve Object Detection with Feature-based Knowledge Distillation, ICLR 2021, section 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

from torch import Tensor, nn
from torch.linalg import vector_norm

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import Shapes, check_count, check_shapes
from stillroom.losses.tensors import common_precision, detached

_SHAPES = Shapes("maps (N, C, H, W) and vectors (N, C)", (2, 4))
_PARTS = ("feature", "channels", "space", "relation", "spatial_mask", "channel_mask")


def fbkd(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    feature: float = 7e-5,
    channels: float = 4e-3,
    space: float = 4e-3,
    relation: float = 7e-5,
) -> Tensor:
    """The formula of :class:`FBKD`, which holds the masks constant; all else of the teacher gets its gradient too."""
    _check(student, teacher)
    pairs = [common_precision(s, t) for s, t in zip(student, teacher, strict=True)]
    of_feature, of_channels, of_space, of_relation = (s - t for s, t in pairs[:4])
    spatial_mask, channel_mask = (((s + t) / 2).detach() for s, t in pairs[4:])
    # a norm, other than the root of a sum, has the gradient 0 where both sides are equal
    return (
        feature * vector_norm(of_feature * (spatial_mask * channel_mask).sqrt())
        + channels * vector_norm(of_channels)
        + space * vector_norm(of_space)
        + relation * vector_norm(of_relation)
    )


def _check(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    _check_count(student, teacher)
    for s, t in zip(student, teacher, strict=True):
        check_shapes(s, t, _SHAPES)
    shapes = [tuple(x.shape) for x in student]
    if len(shapes[0]) != 4:
        raise StillroomError("wrong number of axes", expected="a feature (N, C, H, W)", got=shapes[0])
    n, c, h, w = shapes[0]
    fitting = ((n, c, h, w), (n, c), (n, 1, h, w), (n, c, h, w), (n, 1, h, w), (n, c, 1, 1))
    for name, shape, expected in zip(_PARTS, shapes, fitting, strict=True):
        if shape != expected:
            raise StillroomError(f"{name} does not fit the feature {shapes[0]}", expected=expected, got=shape)


def _check_count(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    check_count(student, teacher, len(_PARTS), "what FBKDStudent and FBKDTeacher return")


@final
class FBKD(nn.Module):
    """Attention-guided and non-local distillation of a detector's map, after FBKDStudent and FBKDTeacher.

    ``feature · ‖√(M_s M_c) (s − t)‖ + channels · ‖s − t‖ + space · ‖s − t‖ + relation · ‖s − t‖``, each of its own
    pair of tensors. M_s and M_c are the means of both sides' spatial and channel masks, without gradient. The norms
    are Euclidean and over the whole batch, not divided by N, as the weights, the authors', expect; the value of a
    batch is thus not the mean over its samples.

    The teacher's relation comes from a block that only this loss trains: it alone of the teacher's tensors gets a
    gradient. MMRazor computes the channel mask, but does not use it.

    Args:
        feature: weight of the masked map.
        channels: weight of the means over the pixels.
        space: weight of the means over the channels.
        relation: weight of the non-local relations.

    Shape:
        student, teacher: six tensors in this order: feature (N, C, H, W), channels (N, C), space (N, 1, H, W),
        relation (N, C, H, W), spatial_mask (N, 1, H, W), channel_mask (N, C, 1, 1); masks are not below 0.
        Returns ().

    Raises:
        StillroomError: for a weight below 0, for anything but six tensors on each side, and for shapes that differ.

    Example:
        >>> map, vector, mask = torch.ones(1, 1, 3, 3), torch.ones(1, 1), torch.ones(1, 1, 1, 1)
        >>> one = (map, vector, map, map, map, mask)
        >>> other = (0 * map, 3 * vector, map, map, map, mask)
        >>> FBKD(feature=1.0, channels=10.0)(one, other)
        tensor(23.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="map",
        shapes=_SHAPES,
        paper="Zhang, Ma, ICLR 2021",
        connectors=("FBKDStudent",),
        teacher_connector="FBKDTeacher",
        zero_at_equality=True,
    )

    def __init__(
        self, *, feature: float = 7e-5, channels: float = 4e-3, space: float = 4e-3, relation: float = 7e-5
    ) -> None:
        super().__init__()
        self.weights = {"feature": feature, "channels": channels, "space": space, "relation": relation}
        for name, weight in self.weights.items():
            check_at_least(name, weight, 0, f"{name} is no weight")

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        _check_count(student, teacher)
        held = detached(teacher)
        return fbkd(student, (*held[:3], teacher[3], *held[4:]), **self.weights)
