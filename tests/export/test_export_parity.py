"""The comparison of two models sees what it should, at both batch sizes and in every leaf of the output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export.parity import parity, shipped, tensors_in

BATCH = torch.tensor([[1.0, -2.0], [3.0, 4.0], [0.5, 0.0]])


def same(x: Tensor) -> Tensor:
    return x


def test_the_largest_difference_is_returned() -> None:
    def other(x: Tensor) -> Tensor:
        return x + torch.tensor([0.0, 3e-5])

    assert parity(same, same, BATCH, tolerance=0.0) == 0.0
    assert parity(same, other, BATCH, tolerance=1e-4) == pytest.approx(3e-5, rel=1e-2)


def test_the_tolerance_is_relative_to_the_largest_answer_and_never_below_that_of_one() -> None:
    def plus(gap: float, scale: float) -> tuple[object, object]:
        return (lambda x: scale * x), (lambda x: scale * x + gap)

    for gap, scale, fits in [
        (3.9e-4, 1, True),
        (4.1e-4, 1, False),
        (3.9e-2, 100, True),
        (0.9e-4, 1e-3, True),
        (1.1e-4, 1e-3, False),
    ]:
        # The batch of one is the stricter: its largest answer is 2, not 4.
        one = BATCH[1:]
        if fits:
            assert parity(*plus(gap, scale), one, tolerance=1e-4) == pytest.approx(gap, rel=0.05)
        else:
            with pytest.raises(StillroomError, match=r"a difference of at most .* \(tolerance 0.0001\), got"):
                parity(*plus(gap, scale), one, tolerance=1e-4)


def test_a_model_that_is_right_for_one_batch_size_only_is_found() -> None:
    def wrong_for_many(x: Tensor) -> Tensor:
        return x + (len(x) > 1)

    def wrong_for_one(x: Tensor) -> Tensor:
        return x + (len(x) == 1)

    for wrong in (wrong_for_many, wrong_for_one):
        with pytest.raises(StillroomError, match=r"answers differently .* got 1\."):
            parity(same, wrong, BATCH, tolerance=1e-4)


def test_every_leaf_counts() -> None:
    def right(x: Tensor) -> object:
        return {"a": x, "b": (x, [x, None])}

    def wrong(x: Tensor) -> object:
        return {"a": x, "b": (x, [x + 2, None])}

    assert len(list(tensors_in(right(BATCH)))) == 3
    with pytest.raises(StillroomError, match=r"got 2\."):
        parity(right, wrong, BATCH, tolerance=1e-4)
    with pytest.raises(
        StillroomError, match=r"batch of 3: outputs of other shapes; expected .*\(3, 2\), \(3, 2\), \(3, 2\)"
    ):
        parity(right, same, BATCH, tolerance=1e-4)


def test_nan_is_a_difference_and_equal_infinities_are_none() -> None:
    def nan(x: Tensor) -> Tensor:
        return x / 0 * 0

    def masked(x: Tensor) -> Tensor:
        return x.masked_fill(x > 3, -torch.inf)

    for pair in [(same, nan), (nan, same), (nan, nan)]:
        with pytest.raises(StillroomError, match="got nan"):
            parity(*pair, BATCH, tolerance=1e-4)
    assert parity(masked, masked, BATCH, tolerance=0.0) == 0.0
    with pytest.raises(StillroomError, match="got inf"):
        parity(masked, same, BATCH, tolerance=1e-4)


def test_whole_numbers_compare_exactly() -> None:
    def big(x: Tensor) -> Tensor:
        return x.long() + 2**40

    assert parity(big, big, BATCH, tolerance=0.0) == 0.0
    with pytest.raises(StillroomError, match=r"got 1\."):
        parity(big, lambda x: big(x) + 1, BATCH, tolerance=0.0)


def test_outputs_that_are_no_tensors_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"cannot be compared; expected tensors, or dicts.* got str"):
        list(tensors_in({"a": torch.ones(1), "b": "text"}))
    with pytest.raises(StillroomError, match=r"outputs of other shapes; expected \[\], got \[\]"):
        parity(lambda _: None, lambda _: None, BATCH, tolerance=1e-4)


@pytest.mark.parametrize(("example", "shape"), [(torch.tensor(1.0), r"\(\)"), (torch.empty(0, 3), r"\(0, 3\)")])
def test_an_example_without_samples_is_refused(example: Tensor, shape: str) -> None:
    with pytest.raises(StillroomError, match=rf"no batch of samples; expected \(N, \.\.\.\), got {shape}"):
        parity(same, same, example, tolerance=1e-4)


def test_the_copy_that_ships_evaluates_and_the_model_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    model[0].eval()
    copy = shipped(model)
    assert not any(module.training for module in copy.modules())
    assert [module.training for module in model.modules()] == [True, False, True]
    with torch.no_grad():
        copy[0].weight.zero_()
    assert model[0].weight.any()
