import pytest
import torch

from stillroom.data import EpochBatches, Loader, Samples
from stillroom.errors import StillroomError


def noise(value):
    return value + torch.randn(3)


def loader(*, progress=None, **options):
    samples = Samples([(torch.full((3,), float(index)), index % 2) for index in range(11)], noise, seed=9)
    return Loader(samples, EpochBatches(11, batch_size=4, seed=9), progress=progress, **options)


def views(loaded, epochs=(0, 1)):
    """All that a loader gives in these epochs, in its order."""
    seen = []
    for epoch in epochs:
        loaded.batches.set_epoch(epoch)
        seen += [torch.cat([batch["inputs"].flatten(), batch["labels"], batch["index"]]) for batch in loaded]
    return seen


@pytest.fixture(scope="module")
def expected():
    return views(loader())


@pytest.mark.parametrize(
    "options", [{"num_workers": 1}, {"num_workers": 2}, {"num_workers": 1, "start_method": "spawn"}]
)
def test_the_views_are_the_same_with_any_workers(expected, options):
    torch.manual_seed(123)
    seen = views(loader(**options))
    assert len(seen) == len(expected) == 6
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(num_workers):
    torch.manual_seed(0)
    expected_draw = torch.rand(1)
    torch.manual_seed(0)
    list(loader(num_workers=num_workers))
    assert torch.equal(torch.rand(1), expected_draw)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_goes_on_where_its_state_was_made(num_workers):
    place = {"at": (1, 2)}
    state = loader(progress=lambda: place["at"]).state_dict()
    assert state == {"epoch": 1, "position": 2, "batches": 3}
    resumed = loader(num_workers=num_workers)
    resumed.load_state_dict(state)
    assert len(resumed) == 3
    assert [batch["index"].tolist() for batch in resumed] == [indices_of_epoch(1)[2]]
    assert [batch["index"].tolist() for batch in after(resumed, 2)] == indices_of_epoch(2)


def indices_of_epoch(epoch):
    return [batch["index"].tolist() for batch in after(loader(), epoch)]


def after(loaded, epoch):
    loaded.batches.set_epoch(epoch)
    return loaded


def test_a_loader_begins_in_the_epoch_that_the_training_is_in():
    loaded = loader(progress=lambda: (2, 0), num_workers=1)
    assert [batch["index"].tolist() for batch in loaded] == indices_of_epoch(2)


def test_another_number_of_batches_is_refused():
    with pytest.raises(
        StillroomError, match=r"expected 4 batches per epoch, got 3\. Resume with the same data, batch size"
    ):
        loader().load_state_dict({"epoch": 0, "position": 1, "batches": 4})
