"""What is done with a trained model: evaluate it, ask it, look into it, export it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from stillroom.algorithms import Detection, Task, as_task, logits_of
from stillroom.data import DataModule, Loader
from stillroom.errors import StillroomError, did_you_mean
from stillroom.export import same_choices, same_values, write_exported_program, write_onnx, write_safetensors
from stillroom.models import SimKDStudent, YOLOv3, YOLOv3Boxes
from stillroom.runs.build import spec
from stillroom.runs.evaluate import Evaluation, evaluate
from stillroom.runs.folder import read_config
from stillroom.runs.load import Source, find_source, load
from stillroom.runs.overrides import HOMES, overridden

Split = Literal["test", "validation"]
WRITERS = {"safetensors": write_safetensors, "onnx": write_onnx, "torch": write_exported_program}
PLAIN = ("safetensors",)
ENDINGS = {"safetensors": ".safetensors", "onnx": ".onnx", "torch": ".pt2"}
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
EXPORT_SAMPLES = 16
DEFAULT_INPUT = (3, 224, 224)


@dataclass(frozen=True)
class Guess:
    """What a model says of one image: classes with probabilities, the most probable first."""

    image: Path
    classes: list[tuple[str, float]]


def evaluate_source(source: str | Path, *, split: Split = "test", overrides: Iterable[str] = ()) -> Evaluation:
    """Evaluate a run, a checkpoint or a model file on its own data.

    Args:
        source: run folder, checkpoint or model file.
        split: which of the data's splits.
        overrides: ``data....=value`` words.

    Raises:
        StillroomError: the model or the data cannot be had, or there are no labels.
    """
    origin = find_source(source)
    batches = batches_of(data_of(origin, overrides), split)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = evaluate(load(source).to(device), batches, task=task_of(origin), device=device)
    if found is None:
        raise unlabelled(split, source)
    return found


def batches_of(data: DataModule, split: Split) -> Loader:
    return data.test_dataloader() if split == "test" else data.val_dataloader()


def unlabelled(split: Split, source: str | Path) -> StillroomError:
    """What is said of a split on which nothing can be evaluated."""
    return StillroomError(f"the {split} split has no labels to evaluate on", where=str(source))


def classify(
    source: str | Path, images: Sequence[str | Path], *, top: int = 5, overrides: Iterable[str] = ()
) -> list[Guess]:
    """The most probable classes of image files.

    Args:
        source: run folder, checkpoint or model file.
        images: image files, or folders of such.
        top: how many classes to name, at least 1.
        overrides: ``data....=value`` words.

    Raises:
        StillroomError: there are no images, one cannot be read, or the data's transform is unknown.
    """
    if top < 1:
        raise StillroomError("the number of classes is too small", where="--top", expected="at least 1", got=top)
    found = find_source(source)
    files = image_files(images)
    data, names = data_of(found, overrides), found.card.extra.get("class_names")
    model = load(source)
    guesses: list[Guess] = []
    for file in files:
        with torch.no_grad():
            probabilities = logits_of(model(data.transform_image(file).unsqueeze(0))).softmax(1)[0]
        best = probabilities.topk(min(top, len(probabilities)))
        classes = cast("list[int]", best.indices.tolist())
        named = [str(names[index]) if names else str(index) for index in classes]
        guesses.append(Guess(file, list(zip(named, best.values.tolist(), strict=True))))
    return guesses


def export_source(
    source: str | Path,
    formats: Sequence[str] | None = None,
    *,
    out: str | Path,
    overrides: Iterable[str] = (),
    nms: bool = False,
) -> dict[Path, float]:
    """Write a trained model in other formats, each checked against the PyTorch model on real samples.

    Of a YOLOv3 ``onnx`` and ``torch`` hold what :class:`~stillroom.models.YOLOv3Boxes` computes.

    Args:
        source: run folder, checkpoint or model file.
        formats: of ``safetensors``, ``onnx``, ``torch``; None: all that this model can be written in.
        out: the folder to write ``model.<ending>`` into.
        overrides: ``data....=value`` words.
        nms: of a YOLOv3: with the choice among overlapping boxes.

    Returns:
        The largest difference of the outputs, by file.

    Raises:
        StillroomError: an unknown format, one that a detector cannot be written in, an output over the tolerance, or no
            samples to check with.
    """
    for name in formats or ():
        if name not in WRITERS:
            raise StillroomError(f"there is no format {name!r}", where="--format", fix=did_you_mean(name, WRITERS))
    origin, model = find_source(source), load(source)
    able = PLAIN if isinstance(task_of(origin), Detection) and not isinstance(model, YOLOv3) else tuple(WRITERS)
    formats = able if formats is None else formats
    for name in formats:
        if name not in able:
            raise StillroomError(
                f"a detector cannot be written as {name!r}",
                where="--format",
                expected=" or ".join(able),
                fix="How many boxes it finds depends on the image, which a traced program cannot follow.",
            )
    shipped: dict[str, nn.Module] = dict.fromkeys(WRITERS, _traceable(model, nms=nms)) | dict.fromkeys(PLAIN, model)
    example, folder = data_of(origin, overrides).example(EXPORT_SAMPLES), Path(out)
    return {
        (path := folder / f"model{ENDINGS[name]}"): WRITERS[name](
            shipped[name], path, example=example, compare=same_choices if nms and name not in PLAIN else same_values
        )
        for name in formats
    }


def _traceable(model: nn.Module, *, nms: bool) -> nn.Module:
    """What a traced format holds of a model."""
    if isinstance(model, YOLOv3):
        return YOLOv3Boxes(model, nms=nms)
    if nms:
        raise StillroomError(
            "this model is not written with or without NMS", where="--nms", expected="YOLOv3", got=type(model).__name__
        )
    return model


def what_it_ships(source: str | Path) -> str:
    """Of a model that is more than the student: what else it holds; nothing of any other.

    Raises:
        StillroomError: there is no such model.
    """
    model = load(source)
    if not isinstance(model, SimKDStudent):
        return ""
    parts = " and ".join(f"{count:,} of {name}" for name, count in model.contents().items())
    return f"It is more than the student, and has these parameters: {parts}."


def task_of(source: Source) -> Task:
    """The task that a model was trained for; one with a loss of its own, or that says nothing, is a classifier."""
    said = source.card.extra.get("task")
    if said is None and source.weights.suffix == ".ckpt":  # of a run that has not ended
        said = read_config(source.folder).get("task")
    return as_task(said if isinstance(said, str) else "cross_entropy")


def data_of(source: Source, overrides: Iterable[str]) -> DataModule:
    """The data that a model was trained on.

    Raises:
        StillroomError: nothing says which, or an override is not about it.
    """
    given = source.card.extra.get("data")
    if given is None:
        raise StillroomError(
            "nothing says which data this model was trained on",
            where=str(source.folder),
            fix="It was made from objects: evaluate, infer and export it in Python.",
        )
    words = list(overrides)
    for word in words:
        if not word.startswith("data."):
            raise StillroomError("only the data can be changed here", where=f"-o {word}", expected="data....=value")
    section = overridden({"data": given}, words)["data"]
    data: Any = spec("data", section, home=HOMES["data"]).make()
    return cast("DataModule", data)


def image_files(images: Iterable[str | Path]) -> list[Path]:
    """The files, and those in the folders.

    Raises:
        StillroomError: there is no such file, or no image in a folder.
    """
    return [file for image in images for file in _images(Path(image))]


def _images(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
        if not found:
            raise StillroomError("there are no images in this folder", where=str(path), expected=", ".join(IMAGES))
        return found
    if not path.is_file():
        raise StillroomError("there is no such image", where=str(path))
    return [path]
