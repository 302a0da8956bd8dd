"""What the tests of several rooms share: a set of boxes that takes no time, and a device that nobody has here."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

SIZE = (48, 32)
COUNTS = {"train": 6, "val": 4, "test": 3}
OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture(scope="session", autouse=True)
def _processes() -> None:
    """The tests share the cores: threads of two workers would only wait for each other, and imports take seconds."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process would compile everything again
    # The server imports these once, and a process that is forked from it starts at once, with this environment.
    multiprocessing.set_forkserver_preload(["stillroom.cli.main", "stillroom.runs.use", "sklearn.datasets"])


@pytest.fixture(scope="session", autouse=True)
def _latencies_in_no_time() -> Iterator[None]:
    """Every run ends with them; here one pass of the model is enough."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SECONDS", "WARM_UP_SECONDS"):
            patch.setattr(f"stillroom.export.measure.{name}", 0.0)
        yield


@pytest.fixture(scope="module", autouse=True)
def _charts_in_no_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Half of what a tiny run takes is drawn; that is asked for in tests of reports, of all recipes and of the docs."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in ("algorithms", "cli", "runs"):
            for name in ("lines", "shares"):
                patch.setattr(f"stillroom.reports.charts.{name}", lambda *_, **__: "<svg></svg>")
        yield


class _WithoutFloat64(torch.Tensor):
    """A tensor as on Apple's GPUs, where float64 is an error, until it is brought to the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs or {})
        if func is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if isinstance(found, torch.Tensor) and found.dtype is torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


@pytest.fixture
def without_float64() -> Callable[[torch.Tensor], torch.Tensor]:
    """Puts a tensor onto a device that has no float64."""
    return lambda tensor: tensor.as_subclass(_WithoutFloat64)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one bright square or circle on each image, in the layouts of VOC (``voc``) and COCO (``coco``)."""
    root = tmp_path_factory.mktemp("shapes")
    draws = random.Random(0)
    for split, count in COUNTS.items():
        _write(root, split, [(f"{split}{index}", *_drawn(draws, index % 2)) for index in range(count)])
    return root


def _drawn(draws: random.Random, label: int) -> tuple[int, tuple[int, int, int, int]]:
    side = draws.randint(14, 20)
    left, top = draws.randint(0, SIZE[0] - side), draws.randint(0, SIZE[1] - side)
    return label, (left, top, left + side, top + side)


def _write(root: Path, split: str, items: list[tuple[str, int, tuple[int, int, int, int]]]) -> None:
    from PIL import Image, ImageDraw

    voc, coco = root / "voc", root / "coco"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True, exist_ok=True)
    (coco / split).mkdir(parents=True)
    (coco / "annotations").mkdir(exist_ok=True)
    for name, label, (left, top, right, bottom) in items:
        image = Image.new("RGB", SIZE, (20, 20, 20))
        draw = ImageDraw.Draw(image)
        (draw.ellipse if label else draw.rectangle)((left, top, right - 1, bottom - 1), fill=(250, 200, 90))
        image.save(voc / "JPEGImages" / f"{name}.jpg")
        image.save(coco / split / f"{name}.jpg")
        text = OBJECT.format(("square", "circle")[label], 0, left + 1, top + 1, right, bottom)
        (voc / "Annotations" / f"{name}.xml").write_text(f"<annotation>{text}</annotation>")
    (voc / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name, *_ in items))
    boxes = [
        {"image_id": 10 + index, "category_id": (3, 9)[label], "iscrowd": 0, "bbox": [x, y, right - x, bottom - y]}
        for index, (_, label, (x, y, right, bottom)) in enumerate(items)
    ]
    instances = {
        "images": [{"id": 10 + index, "file_name": f"{name}.jpg"} for index, (name, *_) in enumerate(items)],
        "annotations": boxes,
        "categories": [{"id": 9, "name": "circle"}, {"id": 3, "name": "square"}],
    }
    (coco / "annotations" / f"instances_{split}.json").write_text(json.dumps(instances))
