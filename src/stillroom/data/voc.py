"""Object detection in the layout of PASCAL VOC.

M. Everingham et al.: The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from stillroom.data.archives import data_folder
from stillroom.data.augmentation import DetectionAugmentation
from stillroom.data.box_inputs import BoxInputs, Interpolation
from stillroom.data.boxes import Annotated, Box, Corners, annotated, corners_of, image_size
from stillroom.data.module import DataModule, Sources
from stillroom.data.read_all import read_all
from stillroom.errors import StillroomError
from stillroom.files import read_text

CORNERS = ("xmin", "ymin", "xmax", "ymax")
ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")

_Entry = tuple[Path, str]


class VOC(DataModule):
    """``JPEGImages/<id>.jpg``, ``Annotations/<id>.xml`` and ``ImageSets/Main/<split>.txt`` in one folder or in several.

    Inputs: ``images``, float32 (3, image_size, image_size), between 0 and 1 unless ``mean`` and ``std`` are given, and
    for each image ``targets``: ``boxes`` (K, 4), corners x1, y1, x2, y2 in pixels of the input; ``labels`` (K,);
    ``scores`` (K,), how much a box counts, 1 unless images are mixed; ``difficult`` (K,); ``iscrowd`` (K,), all 0;
    ``area`` (K,), of the boxes in pixels of the file; ``image_id`` (), the image's place in its split;
    ``original_size`` (2,), height and width of the file. A box times original over input width and height is one in
    pixels of the file.

    The classes are the names in the annotations of all splits, in alphabetical order, from 0. The format counts pixels
    from 1, the last one included; a box becomes (xmin - 1, ymin - 1, xmax, ymax), clipped to the image. Boxes with
    ``xmin >= xmax`` or ``ymin >= ymax``, and those outside of the image, are left out; ``stillroom check`` tells how
    many. Images may be .jpeg or .png files, too.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``folder`` lies; None: STILLROOM_DATA, else ``data``.
        folder: that of the data set.
        splits: the one to train on, the one that picks the best epoch, and the one that is measured besides, or None.
            Where there are folders within ``folder`` a split is told with its own, and ``+`` joins several:
            ``"VOC2007/trainval+VOC2012/trainval"``.
        image_size: height and width of the inputs; the shape of the image is not kept.
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``, by which images are resized.
        flip: training images are mirrored half of the time.
        difficult: keep objects that are marked as difficult: they are trained on, and marked in the targets, so that
            an average precision can take them out of account; otherwise they are left out everywhere, so finding one
            counts as a mistake.
        mean: of each colour, for pixels from 0 to 1; None, with ``std``: pixels stay between 0 and 1.
        std: likewise.
        augmentation: further chance in training, as a mapping of arguments of
            :class:`~stillroom.data.DetectionAugmentation`; training images then have its sizes.
    """

    def __init__(  # noqa: PLR0913 - a recipe sets them all in one place
        self,
        *,
        batch_size: int = 8,
        num_workers: int = 0,
        root: str | None = None,
        folder: str = "VOCdevkit/VOC2007",
        splits: tuple[str, str, str | None] = ("train", "val", "test"),
        image_size: int = 320,
        interpolation: Interpolation = "bilinear",
        flip: bool = True,
        difficult: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augmentation: DetectionAugmentation | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.folder, self.splits, self.difficult = data_folder(root) / folder, splits, difficult
        self.inputs = BoxInputs(
            image_size=image_size,
            interpolation=interpolation,
            flip=flip,
            mean=mean,
            std=std,
            augmentation=augmentation,
        )

    def read(self) -> Sources:
        splits = [None if split is None else self._entries(split) for split in self.splits]
        entries = list(dict.fromkeys(entry for split in splits for entry in split or ()))
        read = read_all(entries, self._read, what="images with annotations", where=str(self.folder))
        pictures = dict(zip(entries, read, strict=True))
        names = sorted({each.name for picture in read for each in picture.objects})
        train, validation, test = (
            None if split is None else _annotated([pictures[entry] for entry in split], names) for split in splits
        )
        return self.inputs.sources(train or [], validation or [], test, class_names=names)

    def _entries(self, split: str) -> list[_Entry]:
        """Of a split, or of several: folder and name of each image, once."""
        parts = [part.strip().rpartition("/") for part in split.split("+")]
        return list(dict.fromkeys(entry for folder, _, name in parts for entry in _listed(self.folder / folder, name)))

    def _read(self, entry: _Entry) -> _Picture:
        folder, name = entry
        objects = _objects(folder / "Annotations" / f"{name}.xml")
        files = [folder / "JPEGImages" / f"{name}{ending}" for ending in ENDINGS]
        path = next((file for file in files if file.is_file()), files[0])
        return _Picture(path, image_size(path), [each for each in objects if self.difficult or not each.difficult])


@dataclass(frozen=True)
class _Object:
    name: str
    corners: Corners
    difficult: bool


@dataclass(frozen=True)
class _Picture:
    path: Path
    size: tuple[int, int]
    objects: list[_Object]


def _listed(folder: Path, split: str) -> list[_Entry]:
    if not (folder / "ImageSets" / "Main").is_dir():
        raise StillroomError(
            "this is no data set in the layout of VOC",
            where=str(folder),
            expected="JPEGImages, Annotations and ImageSets/Main",
            fix="Set STILLROOM_DATA or data.root to the folder that holds it, and data.folder to its name.",
        )
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt")))
        raise StillroomError("there is no such split", where=str(path), fix=f"There are: {known}." if known else "")
    return [(folder, line.split()[0]) for line in read_text(path).splitlines() if line.strip()]


def _annotated(pictures: list[_Picture], names: list[str]) -> list[Annotated]:
    labels = {name: label for label, name in enumerate(names)}
    return [
        annotated(
            each.path,
            each.size,
            [Box(one.corners, labels[one.name], difficult=one.difficult) for one in each.objects],
            image_id=place,
        )
        for place, each in enumerate(pictures)
    ]


def _objects(path: Path) -> list[_Object]:
    if not path.is_file():
        raise StillroomError("there is no such annotation", where=str(path))
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:  # also of an unknown encoding
        raise StillroomError("the annotation is no XML", where=str(path), got=error) from error
    return [_object(element, path) for element in root.iter("object")]


def _object(element: ElementTree.Element, path: Path) -> _Object:
    name = element.findtext("name", "").strip()
    try:
        left, top, right, bottom = corners_of([element.findtext(f"bndbox/{key}", "") for key in CORNERS])
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
