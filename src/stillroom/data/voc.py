"""Object detection in the layout of PASCAL VOC.

M. Everingham et al.: The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from stillroom.data.archives import data_folder
from stillroom.data.boxes import Annotated, annotated, detection_sources
from stillroom.data.module import DataModule, Sources
from stillroom.errors import StillroomError
from stillroom.files import read_text

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VOC(DataModule):
    """``JPEGImages/<id>.jpg``, ``Annotations/<id>.xml`` and ``ImageSets/Main/<split>.txt`` in one folder.

    Inputs: ``images``, float32 (3, image_size, image_size) between 0 and 1, and ``targets``: ``boxes`` (K, 4), corners
    x1, y1, x2, y2 in pixels of the input, and ``labels`` (K,). The classes are the names in the annotations of all
    splits, in alphabetical order, from 0. The format counts pixels from 1, the last one included; a box becomes
    (xmin - 1, ymin - 1, xmax, ymax). Boxes with ``xmin >= xmax`` or ``ymin >= ymax`` are dropped.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``folder`` lies; None: STILLROOM_DATA, else ``data``.
        folder: that of the data set.
        splits: the one to train on, the one that picks the best epoch, and the one that is measured besides,
            or None.
        image_size: height and width of the inputs; the shape of the image is not kept.
        flip: training images are mirrored half of the time.
        difficult: keep objects that are marked as difficult; otherwise they are left out everywhere, so finding one
            counts as a mistake.
    """

    def __init__(
        self,
        *,
        batch_size: int = 8,
        num_workers: int = 0,
        root: str | None = None,
        folder: str = "VOCdevkit/VOC2007",
        splits: tuple[str, str, str | None] = ("train", "val", "test"),
        image_size: int = 320,
        flip: bool = True,
        difficult: bool = False,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.folder, self.splits = data_folder(root) / folder, splits
        self.image_size, self.flip, self.difficult = image_size, flip, difficult

    def read(self) -> Sources:
        if not (self.folder / "ImageSets" / "Main").is_dir():
            raise StillroomError(
                "this is no data set in the layout of VOC",
                where=str(self.folder),
                expected="JPEGImages, Annotations and ImageSets/Main",
                fix="Set STILLROOM_DATA or data.root to the folder that holds it, and data.folder to its name.",
            )
        found = [None if split is None else self._objects(split) for split in self.splits]
        names = sorted({each.name for split in found for objects in (split or {}).values() for each in objects})
        train, validation, test = (None if split is None else self._annotated(split, names) for split in found)
        return detection_sources(
            train or [], validation or [], test, class_names=names, image_size=self.image_size, flip=self.flip
        )

    def _objects(self, split: str) -> dict[str, list[_Object]]:
        """The objects of each image, by its id."""
        path = self.folder / "ImageSets" / "Main" / f"{split}.txt"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt")))
            raise StillroomError("there is no such split", where=str(path), fix=f"There are: {known}." if known else "")
        ids = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
        read = {name: _read(self.folder / "Annotations" / f"{name}.xml") for name in ids}
        return {name: [each for each in read[name] if self.difficult or not each.difficult] for name in ids}

    def _annotated(self, split: dict[str, list[_Object]], names: list[str]) -> list[Annotated]:
        labels = {name: label for label, name in enumerate(names)}
        return [
            annotated(
                self.folder / "JPEGImages" / f"{name}.jpg",
                [each.corners for each in objects],
                [labels[each.name] for each in objects],
            )
            for name, objects in split.items()
        ]


@dataclass(frozen=True)
class _Object:
    name: str
    corners: tuple[float, ...]
    difficult: bool


def _read(path: Path) -> list[_Object]:
    if not path.is_file():
        raise StillroomError("there is no such annotation", where=str(path))
    try:
        return [_object(element, path) for element in ElementTree.parse(path).getroot().iter("object")]
    except ElementTree.ParseError as error:
        raise StillroomError("the annotation is no XML", where=str(path), got=error) from error


def _object(element: ElementTree.Element, path: Path) -> _Object:
    name = element.findtext("name")
    try:
        left, top, right, bottom = (float(element.findtext(f"bndbox/{key}", "")) for key in CORNERS)
    except ValueError:
        shown = {key: element.findtext(f"bndbox/{key}") for key in CORNERS}
        raise StillroomError(
            "an object has no box", where=str(path), expected="four numbers in bndbox", got=f"{shown} for {name!r}"
        ) from None
    if not name:
        raise StillroomError("an object has no name", where=str(path))
    # Without an area as written, none afterwards: moving the first corner would make one pixel of it.
    empty = left >= right or top >= bottom
    corners = (left, top, left, top) if empty else (left - 1, top - 1, right, bottom)
    return _Object(name, corners, element.findtext("difficult", "0").strip() == "1")
