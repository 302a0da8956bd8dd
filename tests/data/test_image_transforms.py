import pickle
import re

import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

from stillroom.data.transforms import ShiftAndFlip, Standardise, image_tensor
from stillroom.errors import StillroomError

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, 7, 9), generator=torch.Generator().manual_seed(0)).byte()


def test_standardised_pixels_are_those_of_torchvision(image):
    expected = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(image)
    before = image.clone()
    torch.testing.assert_close(Standardise(MEAN, STD)(image), expected, rtol=0, atol=1e-6)
    assert torch.equal(image, before)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5, 0.5]), ([0.5], [0.0]), ([], [])])
def test_what_no_channel_has_is_refused(mean, std):
    message = (
        "these are no means and deviations of channels; expected one of each for each channel, deviations above 0, "
        f"got mean={mean}, std={std}."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Standardise(mean, std)


def test_pixels_that_are_floats_already_are_not_overwritten():
    image = torch.full((1, 2, 2), 255.0)
    assert Standardise([0.0], [0.5])(image).unique().item() == 2.0
    assert image.unique().item() == 255.0


def test_a_gray_channel_is_repeated():
    image = torch.tensor([[[0, 255]]]).byte()
    assert Standardise([0.5], [0.5], channels=3)(image).tolist() == [[[-1.0, 1.0]]] * 3


def test_every_crop_of_the_padded_image_comes_up_equally_often(image):
    shift, drawn = ShiftAndFlip(1, flip=True), 18 * 200
    padded = F.pad(image, (1, 1, 1, 1))
    crops = [padded[:, top : top + 7, left : left + 9] for top in range(3) for left in range(3)]
    counts = dict.fromkeys([crop.numpy().tobytes() for crop in crops + [crop.flip(-1) for crop in crops]], 0)
    torch.manual_seed(0)
    for _ in range(drawn):
        counts[shift(image).contiguous().numpy().tobytes()] += 1
    assert len(counts) == 18
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 40  # chi squared, 17 degrees: p = 0.001


def test_without_flip_nothing_is_mirrored(image):
    torch.manual_seed(0)
    assert all(torch.equal(ShiftAndFlip(0, flip=False)(image), image) for _ in range(20))


def test_transforms_can_be_sent_to_a_spawned_worker(image):
    for transform in (Standardise(MEAN, STD), ShiftAndFlip(0, flip=False)):
        assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))


def test_an_image_file_becomes_pixels(tmp_path):
    colours = Image.new("RGB", (4, 2), (10, 20, 30))
    colours.putpixel((3, 0), (255, 0, 0))
    colours.save(tmp_path / "colours.png")
    pixels = image_tensor(tmp_path / "colours.png", "RGB", (2, 4))
    assert (pixels.dtype, pixels[:, 0, 0].tolist(), pixels[:, 0, 3].tolist()) == (
        torch.uint8,
        [10, 20, 30],
        [255, 0, 0],
    )
    assert image_tensor(tmp_path / "colours.png", "L", (5, 6)).shape == (1, 5, 6)
