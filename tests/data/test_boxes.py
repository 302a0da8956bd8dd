"""Images with boxes, in the layouts of VOC and COCO."""

import re
import shutil

import pytest
import torch
from box_folders import annotation, edited
from PIL import Image

from stillroom.data import COCO, VOC
from stillroom.errors import StillroomError

SPLITS = ("train", "val", "test")


def voc(root, **options):
    return VOC(**{"root": str(root), "folder": "voc", "splits": SPLITS, "image_size": 64, "batch_size": 4, **options})


def coco(root, **options):
    return COCO(**{"root": str(root), "folder": "coco", "splits": SPLITS, "image_size": 64, "batch_size": 4, **options})


@pytest.fixture
def copy(shapes, tmp_path):
    """The set, to be broken."""
    shutil.copytree(shapes, tmp_path / "shapes")
    return tmp_path / "shapes"


def boxes_of(source):
    return [item.boxes.tolist() for item in source.items]


@pytest.mark.parametrize(("kind", "names"), [(voc, ["circle", "square"]), (coco, ["square", "circle"])])
def test_a_batch(shapes, kind, names):
    data = kind(shapes)
    assert (data.class_names, data.num_classes, data.input_shape) == (names, 2, (3, 64, 64))
    assert [len(s) for s in (data.sources.train, data.sources.validation, data.sources.test)] == [6, 4, 3]
    batch = next(iter(data.val_dataloader()))
    assert batch.keys() == {"inputs", "index"}
    assert batch["index"].tolist() == [0, 1, 2, 3]
    images, targets = batch["inputs"]["images"], batch["inputs"]["targets"]
    assert (images.shape, images.dtype, type(images)) == ((4, 3, 64, 64), torch.float32, torch.Tensor)
    assert [names[target["labels"].item()] for target in targets] == ["square", "circle"] * 2
    for image, target in zip(images, targets, strict=True):
        assert (type(target["boxes"]), target["boxes"].dtype) == (torch.Tensor, torch.float32)
        x1, y1, x2, y2 = target["boxes"][0].round().int().tolist()
        inside, whole = image[0, y1:y2, x1:x2], image[0]
        assert whole[whole > 0.5].numel() == inside[inside > 0.5].numel() > 0.6 * inside.numel()
    assert torch.equal(data.example(2), images[:2])


def test_the_two_layouts_tell_the_same(shapes):
    one, other = voc(shapes), coco(shapes)
    for split in ("train", "validation", "test"):
        assert boxes_of(getattr(one.sources, split)) == boxes_of(getattr(other.sources, split))
        images = [[item.path.read_bytes() for item in getattr(d.sources, split).items] for d in (one, other)]
        assert images[0] == images[1]


def epoch_of(data, epoch):
    loader = data.train_dataloader()
    loader.batches.set_epoch(epoch)
    found = {}
    for batch in loader:
        for index, image, target in zip(
            batch["index"].tolist(), batch["inputs"]["images"], batch["inputs"]["targets"], strict=True
        ):
            found[index] = (image, target["boxes"])
    return found


def test_images_and_boxes_are_mirrored_together_by_a_key(shapes):
    plain, one = epoch_of(voc(shapes, flip=False), 0), epoch_of(voc(shapes), 0)
    mirrored = [index for index, (image, _) in one.items() if not torch.equal(image, plain[index][0])]
    assert 0 < len(mirrored) < 6
    for index in mirrored:
        x1, y1, x2, y2 = plain[index][1].unbind(1)
        torch.testing.assert_close(one[index][1], torch.stack([64 - x2, y1, 64 - x1, y2], 1))
    again, other = epoch_of(voc(shapes, num_workers=1), 0), epoch_of(voc(shapes), 1)
    assert all(torch.equal(one[index][0], again[index][0]) for index in one)
    assert any(not torch.equal(one[index][0], other[index][0]) for index in one)


def test_an_image_file_becomes_the_evaluation_input(shapes):
    data = voc(shapes)
    made = data.transform_image(shapes / "voc" / "JPEGImages" / "val0.jpg")
    assert torch.equal(made, data.example(1)[0])


def test_pixels_are_counted_from_one_and_boxes_without_area_are_dropped(copy):
    objects = [("square", 1, 1, 48, 32), ("square", 5, 5, 5, 9), ("circle", 7, 8, 9, 8), ("circle", 10, 10, 9, 12)]
    annotation(copy, "train0", *objects)
    item = voc(copy).sources.train.items[0]
    assert (item.boxes.tolist(), item.labels.tolist()) == ([[0, 0, 48, 32]], [1])


def test_difficult_objects(copy):
    annotation(copy, "train0", ("square", 1, 1, 9, 9), (True, "star", 3, 3, 9, 9))
    assert (voc(copy).class_names, len(voc(copy).sources.train.items[0].boxes)) == (["circle", "square"], 1)
    kept = voc(copy, difficult=True)
    assert (kept.class_names, len(kept.sources.train.items[0].boxes)) == (["circle", "square", "star"], 2)


def test_splits_of_several_folders_are_joined(copy):
    for year in ("VOC2007", "VOC2012"):
        shutil.copytree(copy / "voc", copy / "kit" / year)
    splits = ("VOC2007/val + VOC2012/train + VOC2012/train", "VOC2007/val", "VOC2012/test")
    data = voc(copy, folder="kit", splits=splits)
    one = voc(copy).sources
    train = data.sources.train
    assert [item.path.parts[-3] for item in train.items] == ["VOC2007"] * len(one.validation) + ["VOC2012"] * len(
        one.train
    )
    assert boxes_of(train) == [*boxes_of(one.validation), *boxes_of(one.train)]
    assert boxes_of(data.sources.test) == boxes_of(one.test)
    message = f"{copy}/kit/VOC2011: this is no data set in the layout of VOC; expected JPEGImages"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        voc(copy, folder="kit", splits=("VOC2011/train", "VOC2007/val", None)).prepare_data()


def test_images_without_boxes_and_gray_ones(copy):
    annotation(copy, "val1")
    Image.new("L", (20, 20), 128).save(copy / "voc" / "JPEGImages" / "val1.jpg")
    target = voc(copy).sample(2)["inputs"]["targets"][1]
    assert (target["boxes"].shape, target["labels"].shape) == ((0, 4), (0,))


def test_crowds_and_boxes_without_area_and_no_test_split(copy):
    def change(data):
        data["annotations"][0]["iscrowd"] = 1
        data["annotations"][1]["bbox"][2] = 0

    edited(copy, "train", change)
    data = coco(copy, splits=("train", "val", None))
    assert data.sources.test is None
    assert [len(item.boxes) for item in data.sources.train.items] == [0, 0, 1, 1, 1, 1]


def broken_image(folder):
    (folder / "voc" / "JPEGImages" / "val1.jpg").write_bytes(b"none")


def missing_image(folder):
    (folder / "voc" / "JPEGImages" / "val1.jpg").unlink()


def missing_annotation(folder):
    (folder / "voc" / "Annotations" / "train3.xml").unlink()


def broken_annotation(folder):
    (folder / "voc" / "Annotations" / "train3.xml").write_text("<annotation><object>")


def half_a_box(folder):
    (folder / "voc" / "Annotations" / "train3.xml").write_text(
        "<a><object><name>star</name><bndbox><xmin>3</xmin><ymin>x</ymin></bndbox></object></a>"
    )


def no_name(folder):
    annotation(folder, "train3", ("", 1, 1, 3, 3))


def no_boxes(folder):
    for index in range(4):
        annotation(folder, f"val{index}")


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (missing_image, "{}/JPEGImages/val1.jpg: there is no such image."),
        (broken_image, "{}/JPEGImages/val1.jpg: the file is not an image that can be read; got cannot identify image"),
        (missing_annotation, "{}/Annotations/train3.xml: there is no such annotation."),
        (broken_annotation, "{}/Annotations/train3.xml: the annotation is no XML; got no element found: line 1, "),
        (
            half_a_box,
            "{}/Annotations/train3.xml: an object has no box; expected four numbers in bndbox, got "
            "{{'xmin': '3', 'ymin': 'x', 'xmax': None, 'ymax': None}} for 'star'.",
        ),
        (no_name, "{}/Annotations/train3.xml: an object has no name."),
        (no_boxes, "the validation set has no boxes; got 4 images without any."),
    ],
)
def test_what_is_wrong_in_voc_is_named_before_training(copy, breaking, message):
    breaking(copy)
    with pytest.raises(StillroomError, match=f"^{re.escape(message.format(copy / 'voc'))}"):
        voc(copy).prepare_data()


def test_an_image_that_is_cut_short_is_named_when_it_is_reached(copy):
    path = copy / "voc" / "JPEGImages" / "val1.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    data = voc(copy)
    data.prepare_data()
    message = f"{path}: the file is not an image that can be read; got image file is truncated"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        data.sample(2)


def test_voc_that_is_not_there(shapes, tmp_path):
    message = (
        f"{tmp_path}/voc: this is no data set in the layout of VOC; expected JPEGImages, Annotations and ImageSets"
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}.* Set STILLROOM_DATA or data.root to the folder"):
        voc(tmp_path).prepare_data()
    message = f"{shapes}/voc/ImageSets/Main/trian.txt: there is no such split. There are: test, train, val."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        voc(shapes, splits=("trian", "val", None)).prepare_data()
    with pytest.raises(StillroomError, match=r"^image_size: the size is too small; expected 1 or more, got 0\.$"):
        voc(shapes, image_size=0).prepare_data()


def drop(key):
    return lambda data: data.pop(key)


def stray(data):
    data["annotations"][0]["image_id"] = 77


def vague(data):
    data["annotations"][0]["area"] = "large"


def renamed(data):
    data["categories"][0]["name"] = "star"


@pytest.mark.parametrize(
    ("split", "change", "message"),
    [
        ("train", drop("categories"), "{}: the file is not one of COCO's instances; expected images, annotations and "),
        (
            "val",
            stray,
            "{}, annotation 0: the file tells of no such image_id; got 77.",
        ),
        ("val", vague, "{}, annotation 0: its area is no number; got 'large'."),
        (
            "val",
            renamed,
            "{}: the categories are not those of the training set; expected {{3: 'square', 9: 'circle'}}, got "
            "{{3: 'square', 9: 'star'}}.",
        ),
    ],
)
def test_what_is_wrong_in_coco_is_named_before_training(copy, split, change, message):
    edited(copy, split, change)
    path = copy / "coco" / "annotations" / f"instances_{split}.json"
    with pytest.raises(StillroomError, match=f"^{re.escape(message.format(path))}"):
        coco(copy).prepare_data()


def test_coco_that_is_not_there_or_no_json(copy, tmp_path):
    message = f"{tmp_path}/coco/annotations/instances_train.json: there is no such file of annotations. Set STILLROOM"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        coco(tmp_path).prepare_data()
    path = copy / "coco" / "annotations" / "instances_train.json"
    path.write_text('{"images": [')
    with pytest.raises(
        StillroomError, match=f"^{re.escape(str(path))}, line 1: the file is not JSON; got Expecting val"
    ):
        coco(copy).prepare_data()
    path.write_text((copy / "coco" / "annotations" / "instances_val.json").read_text())
    message = r"/coco/train: 4 of 4 images cannot be read; got .*train/val0\.jpg: there is no such image; .*val1\.jpg"
    with pytest.raises(StillroomError, match=message):
        coco(copy).prepare_data()
