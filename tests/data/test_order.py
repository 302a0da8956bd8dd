import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillroom.data import EpochBatches
from stillroom.errors import StillroomError


def batches(count, *, epoch=0, start=0, **options):
    order = EpochBatches(count, **options)
    order.set_epoch(epoch, start)
    return list(order)


def indices(batched):
    return [index for batch in batched for _, index, _ in batch]


counts, sizes, worlds = st.integers(1, 60), st.integers(1, 9), st.integers(1, 5)


@given(counts, sizes, st.integers(0, 3))
def test_one_process_sees_each_sample_once(count, batch_size, epoch):
    for shuffle in (True, False):
        batched = batches(count, batch_size=batch_size, epoch=epoch, shuffle=shuffle)
        assert sorted(indices(batched)) == list(range(count))
        assert {pair[0] for batch in batched for pair in batch} == {epoch}
        assert len(batched) == len(EpochBatches(count, batch_size=batch_size, shuffle=shuffle))


@given(counts, sizes, worlds)
def test_ranks_share_a_training_set_in_equal_parts(count, batch_size, world):
    if count < world:
        return
    ranks = [batches(count, batch_size=batch_size, world=world, rank=rank) for rank in range(world)]
    seen = [index for rank in ranks for index in indices(rank)]
    assert len(set(seen)) == len(seen) == count - count % world
    assert len({tuple(map(len, rank)) for rank in ranks}) == 1


@given(counts, sizes, worlds)
def test_ranks_together_see_an_evaluation_set_once(count, batch_size, world):
    ranks = [batches(count, batch_size=batch_size, world=world, rank=rank, shuffle=False) for rank in range(world)]
    assert sorted(index for rank in ranks for index in indices(rank)) == list(range(count))
    assert all(indices(rank) == sorted(indices(rank)) for rank in ranks)
    assert max(map(len, ranks)) - min(map(len, ranks)) <= 1


@pytest.mark.parametrize("count", [48, 53, 50])
def test_ranks_together_step_as_one_process_with_a_larger_batch(count):
    ranks = [batches(count, batch_size=4, world=3, rank=rank, epoch=2) for rank in range(3)]
    one = batches(count, batch_size=12, epoch=2)
    joint = [{index for batch in step for _, index, _ in batch} for step in zip(*ranks, strict=True)]
    assert [len(step) for step in joint[:3]] == [12, 12, 12]
    for mine, whole in zip(joint[:3], one[:3], strict=True):
        assert mine == {index for _, index, _ in whole}


def test_other_samples_are_left_out_in_other_epochs():
    def left_out(epoch):
        ranks = [batches(11, batch_size=2, world=3, rank=rank, epoch=epoch) for rank in range(3)]
        return frozenset(range(11)) - {index for rank in ranks for index in indices(rank)}

    assert {len(left_out(epoch)) for epoch in range(9)} == {2}
    assert len({left_out(epoch) for epoch in range(9)}) > 4


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    first = batches(30, batch_size=4, seed=3, epoch=5)
    torch.manual_seed(0)
    order = EpochBatches(30, batch_size=4, seed=3)
    list(order)
    order.set_epoch(5)
    assert list(order) == first == list(order)
    assert indices(batches(30, batch_size=4, seed=3, epoch=6)) != indices(first)
    assert indices(batches(30, batch_size=4, seed=4, epoch=5)) != indices(first)


def test_the_order_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    batches(10, batch_size=3)
    assert torch.equal(torch.rand(1), expected)


def test_an_epoch_can_begin_in_the_middle():
    order = EpochBatches(30, batch_size=4)
    order.set_epoch(1)
    whole = list(order)
    order.set_epoch(1, start=3)
    assert list(order) == whole[3:]
    assert len(order) == 8
    order.set_epoch(2)
    assert len(list(order)) == 8


def test_an_iterator_keeps_the_epoch_in_which_it_was_made():
    order = EpochBatches(6, batch_size=2)
    iterator = iter(order)
    order.set_epoch(4, start=2)
    assert [epoch for batch in iterator for epoch, _, _ in batch] == [0] * 6


@pytest.mark.parametrize(
    ("count", "batch_size", "world", "expected"),
    [
        (9, 4, 1, [4, 5]),  # the last one joins the batch before it
        (10, 4, 1, [4, 4, 2]),
        (1, 4, 1, [1]),
        (3, 1, 1, [1, 1, 1]),
        (19, 4, 2, [4, 5]),
        (20, 4, 2, [4, 4, 2]),
    ],
)
def test_there_is_no_last_training_batch_of_one(count, batch_size, world, expected):
    assert [len(batch) for batch in batches(count, batch_size=batch_size, world=world)] == expected


def test_an_evaluation_keeps_its_last_batch_of_one():
    assert [len(batch) for batch in batches(9, batch_size=4, shuffle=False)] == [4, 4, 1]


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (5, {"batch_size": 0}, "expected batch_size >= 1, got 0"),
        (5, {"batch_size": 1, "rank": 2, "world": 2}, "expected rank from 0 to 1, got rank 2"),
        (0, {"batch_size": 1}, "there are too few samples; expected at least one for each process, got 0 for 1"),
        (2, {"batch_size": 1, "world": 3}, "at least one for each process, got 2 for 3"),
        (0, {"batch_size": 1, "shuffle": False}, "there are too few samples"),
    ],
)
def test_numbers_out_of_range_are_refused(count, options, message):
    with pytest.raises(StillroomError, match=message):
        EpochBatches(count, **options)
