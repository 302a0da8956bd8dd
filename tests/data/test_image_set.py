import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillroom.data.image_set import ImageSet, first_of_each, held_out
from stillroom.errors import StillroomError

labellings = st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=50).map(torch.tensor)


@given(labellings, st.data())
def test_what_is_held_out_keeps_the_proportions_of_the_classes(labels, data):
    count = data.draw(st.integers(0, len(labels) - 1))
    rest, held = held_out(labels, count)
    assert sorted(rest.tolist() + held.tolist()) == list(range(len(labels)))
    assert (rest.tolist(), held.tolist()) == (sorted(rest.tolist()), sorted(held.tolist()))
    assert len(held) == count
    for label in labels.unique():
        exact = count * int((labels == label).sum()) / len(labels)
        assert abs(int((labels[held] == label).sum()) - exact) < 1


def test_the_same_samples_are_always_held_out():
    labels = torch.arange(40) % 4
    torch.manual_seed(1)
    first = held_out(labels, 8)[1].tolist()
    torch.manual_seed(2)
    assert held_out(labels, 8)[1].tolist() == first == [3, 4, 6, 7, 12, 17, 22, 37]


@pytest.mark.parametrize("count", [-1, 4, 5000])
def test_something_must_stay(count):
    with pytest.raises(StillroomError, match=f"cannot be held out for validation; expected 0 to 3, got {count}"):
        held_out(torch.zeros(4, dtype=torch.int64), count)


def test_the_first_of_each_class_are_taken_in_order():
    labels = torch.tensor([2, 0, 2, 2, 7, 0, 0])
    assert first_of_each(labels, 2).tolist() == [0, 1, 2, 4, 5]
    assert first_of_each(labels, 9).tolist() == list(range(7))


def test_an_image_set_keeps_images_and_labels_together():
    labels = torch.tensor([1, 0, 1, 0, 1, 1])
    images = ImageSet.of(torch.arange(6).view(6, 1, 1).byte(), labels)
    rest, held = images.held_out(3)
    for part in (rest, held, images.limited(1)):
        for image, label in (part[index] for index in range(len(part))):
            assert label == labels[int(image)]
    assert images.limited(None) is images


def test_pixels_come_with_their_channels_first():
    labels = torch.zeros(2, dtype=torch.int64)
    assert ImageSet.of(torch.zeros(2, 4, 5), labels).images.shape == (2, 1, 4, 5)
    coloured = torch.arange(2 * 4 * 5 * 3).view(2, 4, 5, 3)
    assert torch.equal(ImageSet.of(coloured, labels).images[1, 2], coloured[1, :, :, 2])
