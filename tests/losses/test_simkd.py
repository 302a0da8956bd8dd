from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import SimKD, l2, simkd


def test_it_is_l2_where_the_sizes_are_equal() -> None:
    student, teacher = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(SimKD()(student, teacher), l2(student, teacher))


def test_the_larger_map_is_pooled_whichever_it_is_in_each_axis() -> None:
    wide, high = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 8, 2)
    pooled = F.mse_loss(F.avg_pool2d(wide, (1, 4)), F.avg_pool2d(high, (2, 1)))
    torch.testing.assert_close(SimKD()(wide, high), pooled)
    torch.testing.assert_close(SimKD()(high, wide), pooled)


def test_channels_must_agree() -> None:
    message = r"expected the same N, C, got student \(2, 3, 4, 4\) and teacher \(2, 5, 4, 4\)\. A connector can adapt"
    with pytest.raises(StillroomError, match=message):
        simkd(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))
