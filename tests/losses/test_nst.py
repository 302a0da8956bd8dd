from __future__ import annotations

import pytest
import torch
from largest_tensor import largest_tensor

from stillroom.errors import StillroomError
from stillroom.losses import NST, nst
from stillroom.losses.nst import mean_kernel


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    """Unit channels (0.6, 0.8) and (1, 0) against (0, 1): means of squared inner products."""
    student, teacher = torch.tensor([[[[3.0, 4.0]], [[2.0, 0.0]]]]), torch.tensor([[[[0.0, 5.0]]]])
    within_student = (1 + 1 + 2 * 0.6**2) / 4
    across = (0.8**2 + 0) / 2
    assert float(NST()(student, teacher)) == pytest.approx(within_student + 1 - 2 * across)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 9, 2, 2)])
def test_neither_order_nor_number_of_channels_matters(shape: tuple[int, ...]) -> None:
    student = maps(*shape)
    assert float(nst(student, student.flip(1))) == pytest.approx(0, abs=1e-15)
    assert float(nst(student, torch.cat((student, student), dim=1))) == pytest.approx(0, abs=1e-15)
    assert float(nst(student, student.flip(3))) > 1e-3


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_few_positions_and_few_channels_give_the_same(channels: int) -> None:
    """Two ways through the same sums of squares, of which the smaller matrices are taken."""
    student, teacher = maps(3, channels, 2, 2), maps(3, 3, 2, 2, seed=1)
    s, t = (torch.nn.functional.normalize(x.flatten(2), dim=2) for x in (student, teacher))
    expected = mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)
    torch.testing.assert_close(nst(student, teacher), expected)


@pytest.mark.parametrize("shape", [(4, 16, 24, 24), (4, 256, 4, 4)])
def test_no_tensor_of_channel_pairs_times_positions(shape: tuple[int, ...]) -> None:
    """RepDistiller holds (N, C, C, H · W)."""
    assert largest_tensor(NST(), maps(*shape), maps(*shape, seed=1)) <= maps(*shape).numel()


def test_dead_channel_gets_no_gradient() -> None:
    student = maps(2, 3, 4, 4)
    student[:, 1] = 0
    student.requires_grad_()
    nst(student, maps(2, 5, 4, 4, seed=1)).backward()
    assert student.grad is not None
    assert not student.grad[:, 1].any()
    assert student.grad[:, 0].abs().max() < 10


def test_other_size_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected the same N, H, W, "
        r"got student \(2, 3, 4, 4\) and teacher \(2, 5, 4, 2\)\. A connector can adapt the student to the teacher\.$",
    ):
        NST()(maps(2, 3, 4, 4), maps(2, 5, 4, 2))
