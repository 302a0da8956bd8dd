"""White rectangles on black, and where they are."""

import torch
from PIL import Image, ImageDraw
from torchvision.transforms.v2 import functional as images

from stillroom.data.box_images import within

LEVEL = 150
"""White is above it also where it fades into ImageNet's mean colour, and black is below."""


def picture(size, *boxes):
    """An item of (width, height) with these rectangles, of class 0, 1, ..."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in boxes:
        draw.rectangle((left, top, right - 1, bottom - 1), fill="white")
    count = len(boxes)
    targets = {
        "boxes": within(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), size[::-1]),
        "labels": torch.arange(count),
        "scores": torch.ones(count),
        "difficult": torch.zeros(count, dtype=torch.bool),
        "iscrowd": torch.zeros(count, dtype=torch.int64),
        "area": torch.ones(count),
        "image_id": torch.tensor(7),
        "original_size": torch.tensor(size[::-1]),
    }
    return {"images": image, "targets": targets}


def white(item, level=LEVEL):
    """x1, y1, x2, y2 of what is white, or None."""
    image = item["images"]
    pixels = image * 255 if isinstance(image, torch.Tensor) else images.pil_to_tensor(image)
    there = pixels.float().mean(0) > level
    if not there.any():
        return None
    rows, columns = there.any(1).nonzero().flatten(), there.any(0).nonzero().flatten()
    return [columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1]


def side(item):
    """Width and height of an image or a tensor."""
    image = item["images"]
    return (image.shape[2], image.shape[1]) if isinstance(image, torch.Tensor) else image.size


def expect_whole(item):
    """Boxes have an area and lie in the image, and all that is told of them is told of each."""
    boxes, (width, height) = item["targets"]["boxes"], side(item)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([width, height] * 2) + 1e-3).all()
    for name in ("labels", "scores", "difficult", "iscrowd", "area"):
        assert item["targets"][name].shape == (len(boxes),)


def expect_aligned(item, *, level=LEVEL, pixels=1.0):
    """The only box is where the white is."""
    (box,) = item["targets"]["boxes"].tolist()
    found = white(item, level)
    assert found is not None
    assert max(abs(told - seen) for told, seen in zip(box, found, strict=True)) <= pixels, (box, found)
