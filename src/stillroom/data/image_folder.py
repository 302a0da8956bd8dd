"""Images in folders, one per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch.utils.data import Subset
from torchvision.transforms import v2

from stillroom.data.archives import data_folder
from stillroom.data.image_set import checked_limit, first_of_each
from stillroom.data.module import DataModule, Sources
from stillroom.errors import StillroomError

Triple = tuple[float, float, float]


class ImageFolder(DataModule):
    """``root/train/<class>/*``, ``root/val/<class>/*`` and, if it is there, ``root/test/<class>/*``.

    The classes are the names of the folders in ``train``, in alphabetical order. Inputs: float32 (3, size, size).

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder; None: STILLROOM_DATA, else ``data``.
        size: height and width of the inputs.
        resize: in evaluation the shorter side is made so long before the middle is cut out.
        augment: training images are random parts, 8 to 100 % of the area, mirrored half of the time.
        mean_and_std: of each channel, for pixels between 0 and 1, as two triples. The default values are ImageNet's.
        limit_per_class: train on so many images of each class; None: on all.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        root: str | None = None,
        size: int = 224,
        resize: int = 256,
        augment: bool = True,
        mean_and_std: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        limit_per_class: int | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        if not 1 <= size <= resize:
            raise StillroomError("the sizes do not fit", expected="1 <= size <= resize", got=f"{size}, {resize}")
        self.root, self.limit_per_class = data_folder(root), checked_limit(limit_per_class)
        whole = [v2.Resize(resize), v2.CenterCrop(size)]
        part = [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]
        mean, std = map(list, mean_and_std)
        to_input = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        self.plain = v2.Compose([*whole, *to_input])
        self.augmented = v2.Compose([*part, *to_input]) if augment else self.plain

    def read(self) -> Sources:
        train = _folder(self.root / "train")
        validation = _folder(self.root / "val", train.classes)
        test = _folder(self.root / "test", train.classes) if (self.root / "test").exists() else None
        limited = train if self.limit_per_class is None else _limited(train, self.limit_per_class)
        return Sources(
            train=limited,
            validation=validation,
            test=test,
            augmented=self.augmented,
            plain=self.plain,
            class_names=train.classes,
            open_image=_opened,
        )


def _folder(path: Path, classes: list[str] | None = None) -> torchvision.datasets.ImageFolder:
    fix = "Set STILLROOM_DATA or data.root to a folder with train/<class>/* and val/<class>/*."
    if not path.is_dir():
        raise StillroomError("there is no such folder", where=str(path), fix=fix)
    try:
        images = torchvision.datasets.ImageFolder(path)
    except FileNotFoundError as error:
        raise StillroomError("no folder of images for each class", where=str(path), got=error, fix=fix) from error
    if classes is not None and images.classes != classes:
        raise StillroomError(
            "the classes are not those of the training images", where=str(path), expected=classes, got=images.classes
        )
    return images


def _limited(images: torchvision.datasets.ImageFolder, per_class: int) -> Subset[Any]:
    return Subset(images, first_of_each(torch.tensor(images.targets), per_class).tolist())


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
