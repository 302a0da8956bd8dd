"""Two images laid over each other."""

import pytest
import torch
from boxed_pictures import expect_whole, picture, white
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.data import Samples, drawing
from stillroom.data.box_images import BoxImages
from stillroom.data.boxes import Box, annotated
from stillroom.data.mixup import MixedImages, mixed

sides = st.integers(8, 60)


@settings(max_examples=40, deadline=None)
@given(sides, sides, sides, sides, st.floats(0, 1))
def test_both_images_from_the_top_left_with_the_boxes_of_both(width, height, wide, high, share):
    one, other = picture((width, height), (1, 2, 7, 6)), picture((wide, high), (0, 0, 4, 4), (2, 2, 8, 8))
    made = mixed(one, other, share=share)
    assert made["images"].size == (max(width, wide), max(height, high))
    expect_whole(made)
    targets = made["targets"]
    assert targets["boxes"].tolist() == [[1, 2, 7, 6], [0, 0, 4, 4], [2, 2, 8, 8]]
    assert targets["boxes"].canvas_size == made["images"].size[::-1]
    assert targets["labels"].tolist() == [0, 0, 1]
    first, second, third = targets["scores"].tolist()
    assert first + second == pytest.approx(1)
    assert (second, targets["original_size"].tolist()) == (third, [height, width])
    # White counts as much as its image: at (5, 3) both have a box, at (6, 5) the same two, at (1, 1) the second alone.
    assert made["images"].getpixel((1, 1))[0] == pytest.approx(255 * (1 - share), abs=1)
    assert made["images"].getpixel((1, 4))[0] == pytest.approx(255 * share, abs=1)
    assert made["images"].getpixel((5, 3))[0] == pytest.approx(255, abs=1)


def test_one_alone():
    one, other = picture((20, 30), (2, 3, 9, 9)), picture((10, 40))
    assert white(mixed(one, other, share=1.0)) == [2, 3, 9, 9]
    assert white(mixed(one, other, share=0.0)) is None


@pytest.fixture
def images(tmp_path):
    items = []
    for place in range(6):
        path = tmp_path / f"{place}.png"
        picture((20 + place, 20), (0, 0, 9, 9))["images"].save(path)
        items.append(annotated(path, (20, 20 + place), [Box((0, 0, 9, 9), place)], image_id=place))
    return BoxImages(items)


def test_who_is_mixed_with_whom_and_how_much_comes_from_the_key(images):
    def view(source, epoch, index):
        return Samples(source, seed=3)[epoch, index]["inputs"]["targets"]

    source = MixedImages(images, epochs=2, alpha=1.5)
    pairs, shares = set(), []
    for epoch in (0, 1):
        for index in range(6):
            labels, scores = view(source, epoch, index)["labels"].tolist(), view(source, epoch, index)["scores"]
            assert labels[0] == index != labels[1]
            assert scores.sum() == pytest.approx(1)
            assert torch.equal(view(MixedImages(images, epochs=9, alpha=1.5), epoch, index)["scores"], scores)
            pairs.add((epoch, *labels))
            shares.append(scores[0].item())
    assert len({(one, other) for _, one, other in pairs}) > 6  # another one in the other epoch
    assert len(set(shares)) == 12
    assert view(source, 2, 4)["labels"].tolist() == [4]
    assert view(source, 2, 4)["scores"].tolist() == [1]


def test_shares_are_from_a_beta_distribution(images):
    source = MixedImages(images, epochs=1, alpha=1.5)
    with drawing(0, 0, 0):
        shares = torch.stack([source.shares.sample() for _ in range(4000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(1 / 16, abs=0.005)  # of Beta(1.5, 1.5)


def test_a_single_image_is_mixed_with_itself(images):
    source = MixedImages(BoxImages(images.items[:1]), epochs=1, alpha=1.5)
    made = source[0]["targets"]
    assert made["labels"].tolist() == [0, 0]
    assert len(source) == 1


def test_every_other_image_can_be_the_partner(images):
    source = MixedImages(images, epochs=1, alpha=1.5)
    with drawing(0, 0, 0):
        partners = {source[2]["targets"]["labels"][1].item() for _ in range(60)}
    assert partners == {0, 1, 3, 4, 5}
