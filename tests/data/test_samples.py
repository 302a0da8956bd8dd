import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset, default_collate
from torchvision.transforms import v2

from stillroom.data import Samples
from stillroom.errors import StillroomError

PAIRS = [(torch.full((2,), float(index)), index % 3) for index in range(10)]


def noise(value):
    return value + torch.rand(2)


def test_a_sample_is_a_dict_with_its_index():
    sample = Samples(PAIRS)[4]
    assert list(sample) == ["inputs", "labels", "index"]
    assert (sample["inputs"].tolist(), sample["labels"], sample["index"]) == ([4.0, 4.0], 1, 4)


@pytest.mark.parametrize("source", [[torch.zeros(2)], [(torch.zeros(2),)], TensorDataset(torch.zeros(1, 2))])
def test_without_labels_there_is_no_such_key(source):
    assert list(Samples(source)[0]) == ["inputs", "index"]


@pytest.mark.parametrize("label", [2, np.int64(2), np.uint8(2), torch.tensor(2), torch.tensor([2], dtype=torch.int32)])
def test_whole_numbers_of_any_kind_become_an_int(label):
    assert type(Samples([(torch.zeros(1), label)])[0]["labels"]) is int


def test_an_array_becomes_a_tensor():
    array = np.arange(3, dtype=np.float32)
    array.setflags(write=False)
    assert torch.equal(Samples([(array, 0)])[0]["inputs"], torch.tensor([0.0, 1.0, 2.0]))


def test_a_batch_has_the_same_keys():
    batch = default_collate([Samples(PAIRS)[index] for index in (3, 1)])
    assert batch["inputs"].shape == (2, 2)
    assert (batch["labels"].tolist(), batch["index"].tolist()) == ([0, 1], [3, 1])


def test_a_view_is_made_again_from_seed_epoch_and_index():
    samples = Samples(PAIRS, noise, seed=5)
    view = samples[2, 7]["inputs"]
    others = [samples[3, 7], samples[2, 6], Samples(PAIRS, noise, seed=6)[2, 7]]
    torch.rand(17)
    assert torch.equal(Samples(PAIRS, noise, seed=5)[2, 7]["inputs"], view)
    assert not any(torch.equal(other["inputs"] % 1, view % 1) for other in others)
    assert torch.equal(samples[7]["inputs"], samples[0, 7]["inputs"])


def test_what_the_source_draws_itself_is_keyed_too():
    class Drawing(TensorDataset):
        def __getitem__(self, index):
            return torch.rand(1), 0

    samples = Samples(Drawing(torch.zeros(3)))
    assert torch.equal(samples[1]["inputs"], samples[1]["inputs"])


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandAugment(),
        v2.AugMix(),
        v2.RandomResizedCrop(8),
        v2.ElasticTransform(),
        v2.GaussianNoise(),
        v2.RandomPhotometricDistort(p=1.0),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_torchvision_draws_nothing_past_the_key(transform):
    image = (
        torch.rand(3, 64, 64)
        if isinstance(transform, v2.GaussianNoise)
        else torch.arange(3 * 64 * 64).view(3, 64, 64).byte()
    )
    samples = Samples([(image, 0)] * 3, transform)
    torch.manual_seed(1)
    first = samples[4, 2]["inputs"]
    torch.manual_seed(2)
    assert torch.equal(samples[4, 2]["inputs"], first)


def test_the_global_random_state_is_left_alone():
    samples = Samples(PAIRS, noise)
    torch.manual_seed(8)
    expected = torch.rand(4)
    torch.manual_seed(8)
    samples[1, 1]
    assert torch.equal(torch.rand(4), expected)


def test_a_loop_over_the_samples_ends():
    assert [sample["index"] for sample in Samples(PAIRS)] == list(range(10))
    with pytest.raises(IndexError, match="sample -1 of 10"):
        Samples(PAIRS)[-1]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((torch.zeros(1), 0, 5), r"sample 0: .*expected \(input, label\) .*, got 3 parts \(Tensor, int, int\)"),
        ((), r"got 0 parts \(\)"),
        ((Image.new("L", (2, 2)), 0), "expected a tensor or an array after the transform, got Image"),
        (("text", 0), "expected a tensor or an array after the transform, got str"),
        ((torch.zeros(1), 0.5), "a label is not a whole number; expected the class, from 0, got 0.5"),
        ((torch.zeros(1), "cat"), "a label is not a whole number; expected the class, from 0, got 'cat'"),
        ((torch.zeros(1), torch.zeros(99)), "a label is not a whole number; expected the class, from 0, got Tensor"),
    ],
)
def test_other_items_are_refused(item, message):
    with pytest.raises(StillroomError, match=message):
        Samples([item])[0]


def test_an_iterable_data_set_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(PAIRS)

    with pytest.raises(StillroomError, match=r"expected a data set with __len__ and __getitem__, got Stream\. Read an"):
        Samples(Stream())
