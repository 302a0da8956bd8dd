"""Boxes stay with what they are around, whatever is done to the image."""

import re

import pytest
import torch
from boxed_pictures import expect_aligned, expect_whole, picture, side, white
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from torchvision.transforms import v2

from stillroom.data import VOC, DetectionAugmentation, drawing
from stillroom.data.augmentation import FILL, KINDS, Crop, Recolour, ResizeBatch
from stillroom.data.draws import batch_draws
from stillroom.errors import StillroomError

HALF = (0.5, 1.5)
TO_INPUT = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])
seeds = st.integers(0, 2**31)
few = settings(max_examples=100, deadline=None)


@st.composite
def pictures(draw):
    """With one rectangle, 40 % of the sides or more."""
    width, height = draw(st.integers(100, 240)), draw(st.integers(100, 240))
    wide, high = draw(st.integers(width * 2 // 5, width)), draw(st.integers(height * 2 // 5, height))
    left, top = draw(st.integers(0, width - wide)), draw(st.integers(0, height - high))
    return picture((width, height), (left, top, left + wide, top + high))


def changed(step, item, seed):
    with drawing(seed, 0, 0):
        return step(item)


@few
@given(pictures(), seeds)
def test_colours_change_and_nothing_moves(item, seed):
    step = Recolour(hue=18, saturation=HALF, contrast=HALF, brightness=HALF)
    made = changed(step, item, seed)
    assert torch.equal(made["targets"]["boxes"], item["targets"]["boxes"])
    pixels = v2.functional.pil_to_tensor(made["images"]).float().mean(0)
    if pixels.max() > pixels.min():  # else the rectangle is all of the image
        expect_aligned(made, level=float(pixels.max() + pixels.min()) / 2, pixels=0)


def test_each_colour_changes_half_of_the_time_and_within_its_range():
    item = {"images": picture((8, 8))["images"].point(lambda _: 100)}
    step = Recolour(hue=0, saturation=(1, 1), contrast=(1, 1), brightness=(0.5, 1.5))
    greys = torch.tensor([changed(step, item, seed)["images"].getpixel((0, 0))[0] for seed in range(400)])
    assert 0.4 < (greys == 100).float().mean() < 0.6
    assert 50 <= greys.min() < 60
    assert 140 < greys.max() <= 150
    red = {"images": picture((2, 2))["images"].point([255] * 256 + [0] * 512)}
    step = Recolour(hue=18, saturation=(1, 1), contrast=(1, 1), brightness=(1, 1))
    hues = torch.tensor([changed(step, red, seed)["images"].convert("HSV").getpixel((0, 0))[0] for seed in range(400)])
    turned = torch.where(hues > 128, hues - 256, hues) * 360 / 256
    assert -19 < turned.min() < -15
    assert 15 < turned.max() < 19


def test_the_order_of_colours_is_drawn():
    item = picture((8, 8), (0, 0, 4, 4))
    step = Recolour(hue=0, saturation=(1, 1), contrast=(0.5, 0.5), brightness=(2, 2))
    seen = {changed(step, item, seed)["images"].getpixel((7, 7))[0] for seed in range(200)}
    # Black goes half of the way to the mean, which is a quarter of 255, before or after brightness.
    assert seen == {0, 32, 64}


@few
@given(pictures())
def test_flipping_twice_is_as_it_was(item):
    flip = v2.RandomHorizontalFlip(p=1.0)
    once = flip(item)
    expect_aligned(once, pixels=0)
    again = flip(once)
    assert torch.equal(again["targets"]["boxes"], item["targets"]["boxes"])
    assert again["images"].tobytes() == item["images"].tobytes()


@few
@given(pictures(), seeds)
def test_a_canvas_around_the_image(item, seed):
    (step,) = [each for each in DetectionAugmentation().per_sample(flip=False).transforms if "ZoomOut" in str(each)]
    made = changed(step, item, seed)
    expect_whole(made)
    expect_aligned(made, pixels=0)
    (width, height), (wide, high) = item["images"].size, made["images"].size
    assert width <= wide <= 4 * width
    assert abs(wide / width - high / height) < 0.02
    assert (wide, high) == (width, height) or FILL in {
        made["images"].getpixel(at) for at in ((0, 0), (0, high - 1), (wide - 1, 0), (wide - 1, high - 1))
    }


def test_the_canvas_is_up_to_four_times_as_long_half_of_the_time():
    item = picture((100, 100), (0, 0, 50, 50))
    (step,) = [each for each in DetectionAugmentation().per_sample(flip=False).transforms if "ZoomOut" in str(each)]
    sides = torch.tensor([changed(step, item, seed)["images"].width for seed in range(200)])
    assert 0.4 < (sides == 100).float().mean() < 0.6
    assert 380 < sides.max() <= 400


@few
@given(pictures(), seeds)
def test_a_part_of_the_image(item, seed):
    made = changed(Crop(), item, seed)
    expect_whole(made)
    expect_aligned(made, pixels=0)  # with one box, its centre is in every part
    (width, height), (wide, high) = item["images"].size, made["images"].size
    assert (wide, high) == (width, height) or 0.5 <= wide / high <= 2
    assert int(0.3 * width) <= wide <= width


def test_parts_lose_boxes_whose_centre_is_outside_and_what_is_told_of_them():
    item = picture((200, 200), (0, 0, 60, 60), (140, 140, 200, 200), (100, 20, 101, 60))
    item["targets"]["boxes"][2, 2] -= 0.5
    item["targets"]["scores"] = torch.tensor([0.25, 0.75, 0.5])
    counts = set()
    for seed in range(60):
        made = changed(Crop(), item, seed)
        expect_whole(made)
        labels = made["targets"]["labels"].tolist()
        assert 2 not in labels  # it is half a pixel wide
        assert made["targets"]["scores"].tolist() == [0.25 if label == 0 else 0.75 for label in labels]
        counts.add(tuple(labels))
    assert counts >= {(0,), (1,), (0, 1)}


@pytest.mark.parametrize("item", [picture((60, 40)), picture((3, 90), (0, 0, 3, 90))], ids=["no boxes", "thin"])
def test_parts_of_images_that_have_none_to_choose(item):
    assert all(changed(Crop(), item, seed) is item for seed in range(20))


@few
@given(pictures(), st.sampled_from(range(len(KINDS))), st.sampled_from([32, 64, 96]))
def test_a_batch_has_one_size(item, kind, size):
    step = v2.Compose([v2.Resize([size, size], interpolation=KINDS[kind]), TO_INPUT])
    made = step(item)
    assert made["images"].shape == (3, size, size)
    assert (type(made["images"]), type(made["targets"]["boxes"])) == (torch.Tensor, torch.Tensor)
    expect_whole(made)
    expect_aligned(made, level=128)


def test_sizes_and_interpolations_are_drawn_from_the_batch():
    item, step = picture((50, 40), (10, 10, 30, 25)), ResizeBatch([32, 64, 96], TO_INPUT)

    def view(batch, *, epoch=0, seed=0):
        return step(item, batch_draws(seed, epoch, batch))["images"]

    made = [view(batch) for batch in range(90)]
    sizes = torch.tensor([image.shape[-1] for image in made])
    assert [int((sizes == size).sum()) > 15 for size in (32, 64, 96)] == [True] * 3
    assert len({tuple(image.flatten().tolist()) for image in made if image.shape[-1] == 32}) == len(KINDS)
    assert all(torch.equal(view(batch), made[batch]) for batch in range(9))
    for other in ({"epoch": 1}, {"seed": 1}):
        assert [view(batch, **other).shape[-1] for batch in range(20)] != sizes[:20].tolist()


@few
@given(pictures(), seeds)
def test_all_of_it_together(item, seed):
    chance = DetectionAugmentation(contrast=(1, 1.5), brightness=(1, 1.5), expand=2, sizes=[64])
    made = changed(chance.per_sample(flip=True), item, seed)
    made = chance.per_batch(TO_INPUT)(made, batch_draws(0, 0, seed))
    assert side(made) == (64, 64)
    expect_whole(made)
    expect_aligned(made)
    assert (made["targets"]["image_id"], made["targets"]["original_size"].tolist()) == (7, [*item["images"].size[::-1]])


def test_what_is_switched_off():
    still = DetectionAugmentation(
        hue=0, saturation=(1, 1), contrast=(1, 1), brightness=(1, 1), expand=1, crop=False, sizes=[32]
    )
    item = picture((40, 30), (5, 5, 20, 25))
    made = changed(still.per_sample(flip=False), item, 3)
    assert made["images"].tobytes() == item["images"].tobytes()
    assert white(made) == [5, 5, 20, 25]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mixup_epochs", -1, "0 or more"),
        ("mixup", 0.0, "above 0"),
        ("hue", 200, "0 to 180 degrees"),
        ("saturation", (1.5, 0.5), "0 <= least <= largest"),
        ("contrast", (-1, 1), "0 <= least <= largest"),
        ("brightness", (-1, 1), "0 <= least <= largest"),
        ("expand", 0.5, "1 or more"),
        ("sizes", [300], "multiples of 32"),
        ("sizes", [], "multiples of 32"),
        ("sizes", [0], "multiples of 32"),
    ],
)
def test_what_is_out_of_range(name, value, expected):
    message = f"augmentation.{name}: the value is out of range; expected {expected}, got {value}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        VOC(augmentation=DetectionAugmentation(**{name: value}))


def test_a_recipe_gives_it_as_a_mapping():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(VOC, "data")
    given_words = {"data": {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "augmentation": {"mixup_epochs": 9}}}
    data = parser.instantiate(parser.parse_object(given_words)).data
    assert data.inputs.augmentation.mixup_epochs == 9
    assert list(data.inputs.augmentation.sizes) == list(range(320, 609, 32))
