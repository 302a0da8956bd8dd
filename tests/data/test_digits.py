import torch
from PIL import Image

from stillroom.data import Digits


def test_the_parts_are_disjoint_stratified_and_fixed():
    sources = Digits().sources
    parts = [sources.train, sources.validation, sources.test]
    assert [len(part) for part in parts] == [1197, 300, 300]
    whole = torch.cat([part.images.flatten(1) for part in parts])
    assert len(whole.unique(dim=0)) == 1797  # no two digits of the set are equal, so no sample is in two parts
    for part in parts:
        shares = torch.bincount(part.labels) / len(part)
        assert 0.09 < shares.min() <= shares.max() < 0.11
    assert sources.validation.labels[:10].tolist() == [2, 4, 5, 8, 9, 0, 4, 7, 3, 5]
    assert torch.equal(Digits().sources.test.images, sources.test.images)


def test_inputs_are_standardised():
    data = Digits(batch_size=1197)
    batch = next(iter(data.train_dataloader()))
    assert batch["inputs"].shape == (1197, 1, 8, 8)
    assert abs(batch["inputs"].mean().item()) < 0.01
    assert abs(batch["inputs"].std().item() - 1) < 0.01
    assert (data.num_classes, data.class_names[3], data.input_shape) == (10, "3", (1, 8, 8))


def test_augmentation_shifts_training_images_only():
    plain, shifted = Digits(), Digits(augment=True)
    of_plain, of_shifted = (next(iter(data.train_dataloader())) for data in (plain, shifted))
    assert torch.equal(of_plain["index"], of_shifted["index"])
    same = (of_plain["inputs"] == of_shifted["inputs"]).flatten(1).all(1).float().mean().item()
    assert 0 < same < 0.4  # one shift of nine is none
    assert torch.equal(plain.sample(9)["inputs"], shifted.sample(9)["inputs"])


def test_an_image_file_is_read_as_a_digit(tmp_path):
    Image.new("RGB", (20, 20), (255, 255, 255)).save(tmp_path / "white.png")
    white = Digits().transform_image(tmp_path / "white.png")
    assert white.shape == (1, 8, 8)
    torch.testing.assert_close(white, torch.full((1, 8, 8), (1 - 0.3053) / 0.3760))


def test_the_training_set_can_be_limited():
    sources = Digits(limit_per_class=3).sources
    assert torch.bincount(sources.train.labels).tolist() == [3] * 10
    assert len(sources.validation) == 300
