"""FBKD: the teacher's side."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import expect_map
from stillroom.connectors.fbkd import FBKDFeatures, NonLocal, channel_mask, spatial_mask


@final
class FBKDTeacher(nn.Module):
    """The teacher's map, its means, its relations and its masks.

    The non-local block is to be trained together with the student's. A loss that detaches all that comes from the
    teacher leaves it at its start, where the relation is the map itself.

    Args:
        channels: channels of the map, the same on both sides.
        reduction: how many times narrower the non-local block is inside.
        pool: side of the window by which its keys and values are max-pooled; 1 for none.

    Shape:
        (N, channels, H, W) to :class:`FBKDFeatures`: feature, channels, space, relation, spatial_mask, channel_mask.

    Raises:
        StillroomError: for numbers out of range, and for a feature of another shape or smaller than ``pool``.

    Reference:
        Zhang, Ma, Improve Object Detection with Feature-based Knowledge Distillation, ICLR 2021, section 3.
    """

    def __init__(self, channels: int, *, reduction: int = 2, pool: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.non_local = NonLocal(channels, reduction, pool)

    def forward(self, feature: Tensor) -> FBKDFeatures:
        expect_map(self, feature, self.channels)
        return FBKDFeatures(
            feature=feature,
            channels=feature.mean((2, 3)),
            space=feature.mean(1, keepdim=True),
            relation=self.non_local(feature),
            spatial_mask=spatial_mask(feature),
            channel_mask=channel_mask(feature),
        )
