"""FBKD: the student's side."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import expect_map
from stillroom.connectors.fbkd import FBKDFeatures, NonLocal, channel_mask, spatial_mask


@final
class FBKDStudent(nn.Module):
    """The student's map, its means, its relations and its masks, adapted to what :class:`FBKDTeacher` returns.

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
        self.non_local = NonLocal(channels, reduction, pool)
        self.of_feature = nn.Conv2d(channels, channels, 1)
        self.of_channels = nn.Linear(channels, channels)
        self.of_space = nn.Conv2d(1, 1, 3, padding=1)
        self.of_relation = nn.Conv2d(channels, channels, 1)

    def forward(self, feature: Tensor) -> FBKDFeatures:
        expect_map(self, feature, self.of_channels.in_features)
        return FBKDFeatures(
            feature=self.of_feature(feature),
            channels=self.of_channels(feature.mean((2, 3))),
            space=self.of_space(feature.mean(1, keepdim=True)),
            relation=self.of_relation(self.non_local(feature)),
            spatial_mask=spatial_mask(feature),
            channel_mask=channel_mask(feature),
        )
