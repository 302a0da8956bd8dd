import pytest
import torch
from PIL import Image

from stillroom.data import ImageFolder
from stillroom.errors import StillroomError


def write(folder, colours, count=3, size=(20, 16)):
    for number, (name, colour) in enumerate(colours.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            image = Image.new("RGB", size, colour)
            image.putpixel((index, number), (0, 0, 0))
            image.save(folder / name / f"{index}.png")


RED_BLUE = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def module(root, **options):
    return ImageFolder(**{"root": str(root), "size": 8, "resize": 10, "batch_size": 4, **options})


def test_classes_are_folders_and_images_are_cut_and_standardised(tmp_path):
    write(tmp_path / "train", RED_BLUE)
    write(tmp_path / "val", RED_BLUE, count=2)
    data = module(tmp_path)
    assert (data.class_names, data.num_classes, data.input_shape) == (["blue", "red"], 2, (3, 8, 8))
    assert (len(data.sources.train), len(data.sources.validation), data.sources.test) == (6, 4, None)
    batch = data.sample(4)
    assert batch["labels"].tolist() == [0, 0, 1, 1]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(batch["inputs"][0, :, 7, 7], (torch.tensor([0.0, 0.0, 1.0]) - mean) / std)
    assert len(data.train_dataloader()) == 2


def test_training_parts_are_random_unless_told_otherwise(tmp_path):
    write(tmp_path / "train", RED_BLUE)
    write(tmp_path / "val", RED_BLUE)

    def inputs(epoch, **options):
        loader = module(tmp_path, batch_size=6, **options).train_dataloader()
        loader.batches.set_epoch(epoch)
        batch = next(iter(loader))
        return batch["inputs"][batch["index"].argsort()]

    assert torch.equal(inputs(0), inputs(0))
    assert not torch.equal(inputs(0), inputs(1))
    assert torch.equal(inputs(0, augment=False), inputs(1, augment=False))


def test_a_test_set_limits_and_another_normalisation(tmp_path):
    for part in ("train", "val", "test"):
        write(tmp_path / part, RED_BLUE)
    data = module(tmp_path, limit_per_class=1, mean_and_std=((0.0, 0.0, 0.0), (0.5, 1.0, 2.0)))
    assert (len(data.sources.train), len(data.sources.test)) == (2, 6)
    assert sorted(next(iter(data.train_dataloader()))["labels"].tolist()) == [0, 1]
    assert next(iter(data.test_dataloader()))["inputs"][0, :, 7, 7].tolist() == [0.0, 0.0, 0.5]


def test_an_image_file_becomes_the_evaluation_input(tmp_path):
    write(tmp_path / "train", RED_BLUE)
    write(tmp_path / "val", RED_BLUE)
    data = module(tmp_path)
    assert torch.equal(data.transform_image(tmp_path / "val" / "blue" / "0.png"), data.sample(1)["inputs"][0])
    Image.new("L", (12, 12), 255).save(tmp_path / "gray.png")
    assert data.transform_image(tmp_path / "gray.png").shape == (3, 8, 8)


def test_missing_folders_are_refused(tmp_path):
    with pytest.raises(StillroomError, match=r"train: there is no such folder. Set STILLROOM_DATA or data.root to a"):
        module(tmp_path).setup("fit")
    write(tmp_path / "train", RED_BLUE)
    with pytest.raises(StillroomError, match=r"val: there is no such folder"):
        module(tmp_path).setup("fit")


def test_folders_without_images_are_refused(tmp_path):
    (tmp_path / "train" / "empty").mkdir(parents=True)
    with pytest.raises(StillroomError, match=r"train: no folder of images for each class; got Found no valid file"):
        module(tmp_path).setup("fit")


def test_other_classes_in_validation_are_refused(tmp_path):
    write(tmp_path / "train", RED_BLUE)
    write(tmp_path / "val", {"red": (255, 0, 0), "green": (0, 255, 0)})
    with pytest.raises(
        StillroomError, match=r"val: the classes .*; expected \['blue', 'red'\], got \['green', 'red'\]"
    ):
        module(tmp_path).setup("fit")


def test_sizes_must_fit(tmp_path):
    with pytest.raises(StillroomError, match="expected 1 <= size <= resize, got 9, 8"):
        module(tmp_path, size=9, resize=8)
