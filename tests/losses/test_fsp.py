from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import FSP, fsp
from stillroom.losses.fsp import flow


def maps(*shapes: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def test_flow_by_hand() -> None:
    a = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    b = torch.tensor([[[[5.0, 6.0]]]])
    assert flow(a, b).tolist() == [[[(5 + 12) / 2], [(15 + 24) / 2]]]


def test_mean_over_every_entry_of_the_matrix() -> None:
    a, b = torch.ones(2, 3, 4, 4), torch.ones(2, 5, 4, 4)
    assert float(FSP()((a, b), (a, 3 * b))) == 4


def test_value_does_not_depend_on_the_size_of_the_maps() -> None:
    small, large = torch.ones(1, 2, 3, 3), torch.ones(1, 2, 12, 12)
    assert float(FSP()((small, small), (2 * large, large))) == 1


def test_larger_map_of_a_pair_is_pooled_to_the_smaller() -> None:
    a, b = maps((2, 3, 8, 8), (2, 5, 4, 4))
    pooled = torch.nn.functional.avg_pool2d(a, 2)
    torch.testing.assert_close(flow(a, b), flow(pooled, b))
    torch.testing.assert_close(flow(b, a), flow(b, pooled))


def test_map_that_is_higher_and_narrower_is_pooled_both_ways() -> None:
    a, b = maps((1, 2, 8, 2), (1, 2, 4, 4))
    expected = flow(torch.nn.functional.avg_pool2d(a, (2, 1)), torch.nn.functional.avg_pool2d(b, (1, 2)))
    torch.testing.assert_close(flow(a, b), expected)


def test_teacher_may_have_maps_of_another_size() -> None:
    s1, s2, t1, t2 = maps((2, 3, 8, 8), (2, 5, 4, 4), (2, 3, 6, 6), (2, 5, 3, 3))
    expected = (flow(s1, s2) - flow(t1, t2)).square().mean()
    torch.testing.assert_close(FSP()((s1, s2), [t1, t2]), expected)


def test_maps_of_a_pair_may_differ_in_precision() -> None:
    s1, s2 = maps((2, 3, 4, 4), (2, 5, 4, 4))
    value = fsp((s1.bfloat16(), s2.float()), (s1.float(), s2.half()))
    assert value.dtype is torch.float32
    assert float(value) < 1e-3


def test_compiles_under_autocast() -> None:
    s1, s2, t1, t2 = (x.float() for x in maps((2, 3, 4, 4), (2, 5, 4, 4), (2, 3, 4, 4), (2, 5, 4, 4)))
    torch._dynamo.reset()
    compiled = torch.compile(FSP(), backend="eager", fullgraph=True)
    expected = FSP()((s1, s2), (t1, t2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compiled((s1, s2), (t1, t2)), expected)


def test_other_channels_are_refused() -> None:
    s1, s2, t2 = maps((2, 3, 4, 4), (2, 5, 4, 4), (2, 6, 4, 4))
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected the same N, C, "
        r"got student \(2, 5, 4, 4\) and teacher \(2, 6, 4, 4\)\. A connector can adapt the student to the teacher\.$",
    ):
        FSP()((s1, s2), (s1, t2))


def test_single_map_is_refused() -> None:
    (one,) = maps((2, 3, 4, 4))
    with pytest.raises(
        StillroomError,
        match=r"^both sides must be pairs of maps; expected a tuple of 2, "
        r"got student \(2, 3, 4, 4\) and teacher tuple of 3\.$",
    ):
        FSP()(one, (one, one, one))


def test_maps_of_two_batches_are_refused() -> None:
    a, b = maps((2, 3, 4, 4), (3, 5, 4, 4))
    with pytest.raises(
        StillroomError,
        match=r"^the two maps of a pair differ in their batch; expected the same N, "
        r"got first \(2, 3, 4, 4\) and second \(3, 5, 4, 4\)\.$",
    ):
        FSP()((a, b), (a, b))
