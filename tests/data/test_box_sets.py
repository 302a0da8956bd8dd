"""Sets of boxes as detectors are trained and measured on them: the same views anywhere, and nothing lost on the way."""

import pickle
import shutil

import pytest
import torch
from box_folders import annotation, edited, made
from boxed_pictures import expect_whole
from PIL import Image
from torchvision.transforms.v2 import functional as images

from stillroom.data import COCO, VOC, DetectionAugmentation, EpochBatches, Loader, Samples
from stillroom.errors import StillroomError

CHANCE = DetectionAugmentation(mixup_epochs=4, sizes=[32, 64, 96])
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
KEYS = {"boxes", "labels", "scores", "difficult", "iscrowd", "area", "image_id", "original_size"}


@pytest.fixture
def copy(shapes, tmp_path):
    """The set, to be changed."""
    shutil.copytree(shapes, tmp_path / "shapes")
    return tmp_path / "shapes"


def views(loader):
    """All that a loader gives, in its order."""
    return [
        [
            batch["inputs"]["images"],
            batch["index"],
            *(value for each in batch["inputs"]["targets"] for value in each.values()),
        ]
        for batch in loader
    ]


def same(some, others):
    return len(some) == len(others) and all(
        len(one) == len(other) and all(map(torch.equal, one, other)) for one, other in zip(some, others, strict=True)
    )


def epoch_of(data, epoch):
    loader = data.train_dataloader()
    loader.batches.set_epoch(epoch)
    return views(loader)


@pytest.mark.parametrize("kind", [VOC, COCO])
def test_the_views_are_the_same_in_any_process_and_after_a_resume(shapes, kind):
    alone = made(kind, shapes, augmentation=CHANCE, **IMAGENET)
    epochs = [epoch_of(alone, epoch) for epoch in range(5)]
    torch.rand(5)
    workers = made(kind, shapes, augmentation=CHANCE, num_workers=2, **IMAGENET)
    assert same(epoch_of(workers, 3), epochs[3])
    for data in (workers, made(kind, shapes, augmentation=CHANCE, **IMAGENET)):
        loader = data.train_dataloader()
        loader.load_state_dict({"epoch": 3, "position": 1, "batches": 3})
        assert same(views(loader), epochs[3][1:])
    assert not same(epochs[2], epochs[3])
    assert len({batch[0].shape[-1] for epoch in epochs for batch in epoch}) == 3
    other = made(kind, shapes, augmentation=CHANCE, **IMAGENET)
    other.seed = 1
    assert not same(epoch_of(other, 3), epochs[3])


def test_images_are_mixed_in_the_first_epochs(shapes):
    def scores(epoch):
        return [target["scores"] for batch in targets_of(epoch) for target in batch]

    def targets_of(epoch):
        loader = made(VOC, shapes, augmentation=CHANCE).train_dataloader()
        loader.batches.set_epoch(epoch)
        return [batch["inputs"]["targets"] for batch in loader]

    assert all((each < 1).all() for each in scores(3))
    assert all((each == 1).all() for each in scores(4))


def test_all_processes_of_a_step_have_the_same_size(shapes):
    sources = made(VOC, shapes, augmentation=CHANCE).sources
    samples = Samples(sources.train, sources.augmented, seed=5, per_batch=sources.per_batch)

    def sizes(rank, epoch):
        batches = EpochBatches(6, batch_size=1, seed=5, rank=rank, world=2)
        batches.set_epoch(epoch)
        loader = Loader(samples, batches, collate=sources.collate)
        return [batch["inputs"]["images"].shape[-1] for batch in loader]

    samples = pickle.loads(pickle.dumps(samples))  # as it comes to a worker that is spawned
    drawn = [sizes(0, epoch) for epoch in range(6)]
    assert drawn == [sizes(1, epoch) for epoch in range(6)]
    assert len({size for epoch in drawn for size in epoch}) == 3


@pytest.mark.parametrize("kind", [VOC, COCO])
def test_what_a_target_tells(shapes, kind):
    data = made(kind, shapes, image_size=96, augmentation=CHANCE)
    ids = {VOC: [0, 1, 2, 3], COCO: [10, 11, 12, 13]}[kind]
    targets = data.sample(4)["inputs"]["targets"]
    training = next(iter(data.train_dataloader()))["inputs"]["targets"]
    for target in (*targets, *training):
        assert target.keys() == KEYS
        assert {type(value) for value in target.values()} == {torch.Tensor}
        assert target["original_size"].tolist() == [32, 48]
    assert [target["image_id"].item() for target in targets] == ids
    assert all(target["scores"].tolist() == [1] for target in targets)
    for target, item in zip(targets, data.sources.validation.items, strict=True):
        back = target["boxes"] * torch.tensor([48, 32] * 2) / 96
        torch.testing.assert_close(back, torch.tensor(item.boxes))


def test_evaluation_is_cubic_and_normalised(shapes):
    data = made(VOC, shapes, image_size=64, interpolation="bicubic", augmentation=CHANCE, **IMAGENET)
    image = Image.open(shapes / "voc" / "JPEGImages" / "val0.jpg").resize((64, 64), Image.Resampling.BICUBIC)
    mean, std = (torch.tensor(IMAGENET[name]).view(3, 1, 1) for name in ("mean", "std"))
    expected = (images.pil_to_tensor(image) / 255 - mean) / std
    torch.testing.assert_close(data.example(1)[0], expected)
    torch.testing.assert_close(data.transform_image(shapes / "voc" / "JPEGImages" / "val0.jpg"), expected)
    plain = made(VOC, shapes, image_size=64, interpolation="bicubic").example(1)[0]
    torch.testing.assert_close(plain, images.pil_to_tensor(image) / 255)


@pytest.mark.parametrize(
    "given", [{"mean": (0.5, 0.5, 0.5)}, {"mean": (0.5,), "std": (1.0,)}, {"mean": (0.5,) * 3, "std": (1.0, 1.0, 0.0)}]
)
def test_means_and_deviations_that_are_none(given):
    message = (
        "these are no means and deviations of colours; expected three of each, deviations above 0, or neither, got"
    )
    with pytest.raises(StillroomError, match=f"^{message} mean="):
        VOC(**given)


def test_difficult_objects_are_trained_on_and_marked(copy):
    objects = [(True, "square", 5, 5, 5, 5), ("square", 1, 1, 20, 20), (True, "circle", 20, 5, 40, 30)]
    for name in ("train0", "val0"):
        annotation(copy, name, *objects)
    data = made(VOC, copy, difficult=True)
    assert [item.difficult.tolist() for item in data.sources.train.items[:2]] == [[False, True], [False]]
    assert data.sample(1)["inputs"]["targets"][0]["difficult"].tolist() == [False, True]
    assert made(VOC, copy).sample(1)["inputs"]["targets"][0]["difficult"].tolist() == [False]
    annotation(copy, "val0")
    assert made(VOC, copy).sample(1)["inputs"]["targets"][0]["difficult"].tolist() == []


def test_crowds_are_marked_where_models_are_measured_and_never_trained_on(copy):
    def change(data):
        data["annotations"][0]["iscrowd"] = 1

    for split in ("train", "val"):
        edited(copy, split, change)
    data = made(COCO, copy, crowd=True)
    assert [len(item.boxes) for item in data.sources.train.items] == [0, 1, 1, 1, 1, 1]
    first, second = data.sample(2)["inputs"]["targets"]
    assert (first["iscrowd"].tolist(), first["scores"].tolist()) == ([1], [0])
    assert (second["iscrowd"].tolist(), second["scores"].tolist()) == ([0], [1])
    assert made(COCO, copy).sample(1)["inputs"]["targets"][0]["boxes"].shape == (0, 4)


def test_areas_are_those_that_the_file_tells(copy):
    def change(data):
        data["annotations"][0]["area"] = 12.5
        data["annotations"][1]["area"] = None

    edited(copy, "val", change)
    told = made(COCO, copy).sample(3)["inputs"]["targets"]
    assert told[0]["area"].tolist() == [12.5]
    for kind in (COCO, VOC):
        data = made(kind, copy)
        ((left, top, right, bottom),) = data.sources.validation.items[1].boxes.tolist()
        assert data.sample(2)["inputs"]["targets"][1]["area"].tolist() == [(right - left) * (bottom - top)]


def test_images_of_other_kinds_and_ids_that_are_words(copy):
    folder = copy / "voc" / "JPEGImages"
    Image.open(folder / "train1.jpg").convert("P").save(folder / "train1.png")
    (folder / "train1.jpg").unlink()
    data = made(VOC, copy, augmentation=CHANCE)
    assert [item.path.name for item in data.sources.train.images.items[:2]] == ["train0.jpg", "train1.png"]
    assert len(epoch_of(data, 0)) == 3

    def change(data):
        for each in data["images"]:
            each["id"] = f"name{each['id']}"
        for each in data["annotations"]:
            each["image_id"] = f"name{each['image_id']}"

    edited(copy, "val", change)
    targets = made(COCO, copy).sample(2)["inputs"]["targets"]
    assert [target["image_id"].item() for target in targets] == [0, 1]


def test_training_views_of_images_without_boxes(copy):
    for number in range(5):
        annotation(copy, f"train{number}")
    data = made(VOC, copy, augmentation=CHANCE)
    for epoch in (0, 5):
        loader = data.train_dataloader()
        loader.batches.set_epoch(epoch)
        for batch in loader:
            for image, target in zip(batch["inputs"]["images"], batch["inputs"]["targets"], strict=True):
                expect_whole({"images": image, "targets": target})
