"""What is wrong with images, boxes and annotations is counted and named, and never ends an epoch."""

import re
import shutil

import pytest
from box_folders import annotation, edited, made

from stillroom.data import COCO, VOC, DetectionAugmentation
from stillroom.errors import StillroomError
from stillroom.runs.readable import read_sample

CHANCE = DetectionAugmentation(mixup_epochs=4, sizes=[32, 64, 96])


@pytest.fixture
def copy(shapes, tmp_path):
    """The set, to be changed."""
    shutil.copytree(shapes, tmp_path / "shapes")
    return tmp_path / "shapes"


def test_boxes_are_clipped_to_their_images(copy):
    objects = [("square", 0, 0, 49, 32), ("circle", -9, 5, 20, 90), ("circle", 60, 5, 70, 30), ("square", 9, 9, 9, 9)]
    annotation(copy, "train0", *objects)
    item = made(VOC, copy).sources.train.items[0]
    assert item.boxes.tolist() == [[0, 0, 48, 32], [0, 4, 20, 32]]
    assert (item.labels.tolist(), item.written, item.empty, item.outside) == ([1, 0], 4, 1, 2)

    def change(data):
        data["annotations"][0]["bbox"] = [-3, 10, 20, 100]
        data["annotations"][1]["bbox"] = [10, 10, -5, 5]

    edited(copy, "train", change)
    one, other = made(COCO, copy).sources.train.items[:2]
    assert (one.boxes.tolist(), one.outside) == ([[0, 10, 17, 32]], 1)
    assert (other.boxes.tolist(), other.empty) == ([], 1)


def test_the_check_tells_what_is_odd_about_the_boxes(copy):
    annotation(copy, "train0", ("square", -9, 5, 20, 90), ("circle", 9, 9, 9, 9))
    for name in ("val0", "val1", "val2", "val3"):
        annotation(copy, name, ("star", 1, 1, 9, 9), ("square", 5, 5, 9, 9))
    for chance in (None, CHANCE):
        data = made(VOC, copy, augmentation=chance)
        found = [
            [str(each) for each in read_sample(split, loader, classes=3).findings()]
            for split, loader in (("train", data.train_dataloader()), ("validation", data.val_dataloader()))
        ]
        fix = "Repair the annotations if that is a mistake."
        assert found == [
            [
                f"warning: data (train): 1 of 7 boxes have no area and are left out (train0.jpg). {fix}",
                "warning: data (train): 1 of 7 boxes reach beyond their images, and only what is within is used "
                f"(train0.jpg). {fix}",
            ],
            [
                "warning: data (validation): 4 of 8 boxes are of classes that no training image has (val0.jpg, "
                f"val1.jpg, val2.jpg, and 1 more). {fix}"
            ],
        ]


def test_the_check_names_images_that_cannot_be_decoded(copy):
    path = copy / "voc" / "JPEGImages" / "val1.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    data = made(VOC, copy)
    (line,) = [str(each) for each in read_sample("validation", data.val_dataloader(), classes=2).findings()]
    message = (
        f"error: data (validation): 1 of 4 samples cannot be learned from (sample 1: StillroomError: {path}: the file "
        "is not an image that can be read; got image file is truncated"
    )
    assert line.startswith(message)


def test_all_that_is_wrong_in_voc_is_told_at_once(copy):
    folder = copy / "voc"
    for number in range(4):
        (folder / "Annotations" / f"train{number}.xml").write_bytes(b"<annotation>\xff")
    (folder / "Annotations" / "val0.xml").write_text("<?xml version='1.0' encoding='klingon'?><annotation/>")
    annotation(copy, "val1", ("square", 1, "nan", 5, 5))
    (folder / "JPEGImages" / "val2.jpg").unlink()
    with pytest.raises(StillroomError) as caught:
        made(VOC, copy).prepare_data()
    said = str(caught.value)
    assert said.startswith(f"{folder}: 7 of 10 images with annotations cannot be read; got {folder}/Annotations/train0")
    assert said.count("the annotation is no XML") == 5
    assert said.endswith("; and 2 more.")
    shutil.copy(folder / "Annotations" / "train5.xml", folder / "Annotations" / "val0.xml")
    for number in range(4):
        shutil.copy(folder / "Annotations" / "train5.xml", folder / "Annotations" / f"train{number}.xml")
    message = (
        f"2 of 10 images with annotations cannot be read; got {folder}/Annotations/val1.xml: an object has no box; "
        "expected four numbers in bndbox, got {'xmin': '1', 'ymin': 'nan', 'xmax': '5', 'ymax': '5'} for 'square'; "
        f"{folder}/JPEGImages/val2.jpg: there is no such image."
    )
    with pytest.raises(StillroomError, match=f"{re.escape(message)}$"):
        made(VOC, copy).prepare_data()


def unknown_category(data):
    data["annotations"][2]["category_id"] = 4


def no_box(data):
    data["annotations"][2]["bbox"] = [1, 2, "x", 4]
    data["annotations"][2]["id"] = 77


def several(data):
    unknown_category(data)
    data["annotations"][3]["image_id"] = 99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_category, "{}, annotation 2: the file tells of no such category_id; got 4."),
        (no_box, "{}, annotation 77: it has no box; expected four numbers, got [1, 2, 'x', 4]."),
        (
            several,
            "{0}: 2 of 4 annotations cannot be read; got {0}, annotation 2: the file tells of no such category_id; got "
            "4; {0}, annotation 3: the file tells of no such image_id; got 99.",
        ),
    ],
)
def test_all_that_is_wrong_in_coco_is_told_at_once(copy, change, message):
    edited(copy, "val", change)
    path = copy / "coco" / "annotations" / "instances_val.json"
    with pytest.raises(StillroomError, match=f"^{re.escape(message.format(path))}$"):
        made(COCO, copy).prepare_data()
