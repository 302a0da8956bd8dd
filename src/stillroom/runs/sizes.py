"""How a detector does at several sizes of its input."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from stillroom.algorithms import Detection
from stillroom.data import DataModule
from stillroom.errors import StillroomError
from stillroom.export import model_facts
from stillroom.runs.evaluate import Evaluation, evaluate
from stillroom.runs.load import find_source, load
from stillroom.runs.use import Split, batches_of, data_of, task_of, unlabelled

NAMES = ("image_size", "size")
"""What data modules call the side of their inputs."""


@dataclass(frozen=True)
class AtSize:
    """What a detector reaches at one size.

    Attributes:
        size: side of the square input in pixels.
        found: how good it is.
        images_per_second: of the model by itself, from images in memory to the boxes that it chooses.
    """

    size: int
    found: Evaluation
    images_per_second: float


def evaluate_sizes(
    source: str | Path, sizes: Sequence[int], *, split: Split = "test", overrides: Iterable[str] = ()
) -> list[AtSize]:
    """Evaluate a detector on its own data, resized to squares of several sizes.

    Args:
        source: run folder, checkpoint or model file.
        sizes: sides in pixels.
        split: which of the data's splits.
        overrides: ``data....=value`` words.

    Raises:
        StillroomError: it is no detector, its data has no size, a size does not fit the model, or there are no boxes.
    """
    origin, words = find_source(source), list(overrides)
    task = task_of(origin)
    if not isinstance(task, Detection):
        raise StillroomError(
            "only a detector is evaluated at several sizes",
            where="--sizes",
            got=f"a model that was trained for its {task.metric}",
            fix="Leave it out.",
        )
    if not sizes or min(sizes) < 1:
        raise StillroomError("these are no sizes", where="--sizes", expected="whole numbers above 0", got=list(sizes))
    name = _argument(data_of(origin, words))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(source).to(device)
    resized = {size: data_of(origin, [*words, f"data.{name}={size}"]) for size in sizes}
    for data in resized.values():  # a size that the model refuses is found before the long work
        with torch.no_grad():
            model(data.example(1).to(device))
    rows: list[AtSize] = []
    for size, data in resized.items():
        found = evaluate(model, batches_of(data, split), task=task, device=device)
        if found is None:
            raise unlabelled(split, source)
        facts = model_facts(model, data.example(data.batch_size))
        rows.append(AtSize(size, found, 1e3 * facts.batch / facts.latency_batch_ms))
    return rows


def _argument(data: DataModule) -> str:
    """The argument of a data module that says how large its inputs are."""
    known = inspect.signature(type(data)).parameters
    for name in NAMES:
        if name in known:
            return name
    raise StillroomError(
        f"the inputs of {type(data).__name__} have no size that can be changed",
        where="--sizes",
        expected=" or ".join(NAMES),
        got=", ".join(known),
    )
