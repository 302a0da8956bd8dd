"""Whether pretrained weights and the data normalise pixels alike, as far as both say how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from stillroom.data import DataModule
from stillroom.diagnosis import Finding, networks
from stillroom.runs.recipe import Recipe
from stillroom.runs.teachers import Standing
from stillroom.runs.team import INCLUDED

TOLERANCE = 0.02
"""By how much a mean or a deviation of the pixels may differ."""

Normalisation = tuple[list[float], list[float]]
"""Mean and deviation of each channel, of pixels from 0 to 1."""


def normalised_alike(recipe: Recipe, name: str, standing: Standing, data: DataModule) -> list[Finding]:
    """What pretrained weights declare about their inputs, against what the data does; nothing where one is unknown."""
    section = recipe.team.get(name)
    if not isinstance(section, Mapping) or section.get("weights") != INCLUDED or "transform" in section:
        return []
    wanted, given = declared(section["model"], standing.network), of_data(data)
    if wanted is None or given is None or len(wanted[0]) != len(given[0]):
        return []
    pairs = zip((*wanted[0], *wanted[1]), (*given[0], *given[1]), strict=True)
    if all(abs(one - other) <= TOLERANCE for one, other in pairs):
        return []
    seen = f"its weights want pixels with mean {_few(wanted[0])} and deviation {_few(wanted[1])}, and the data has "
    seen += f"{_few(given[0])} and {_few(given[1])}"
    fix = "Normalise the data like that, or give the teacher a transform."
    return [Finding("warning", standing.where, seen, fix)]


def declared(section: Mapping[str, Any], network: nn.Module) -> Normalisation | None:
    """What weights of timm or torchvision say about the pixels that they were trained on."""
    for inner in networks(network):
        for key in ("pretrained_cfg", "default_cfg"):
            said: Any = getattr(inner, key, None)
            if isinstance(said, Mapping) and "mean" in said and "std" in said:
                return list(said["mean"]), list(said["std"])
    package, _, maker = str(section["class_path"]).rpartition(".")
    weights = section["init_args"].get("weights")
    if not package.startswith("torchvision.models") or not isinstance(weights, str):
        return None
    from torchvision.models import get_model_weights

    entry: Any = get_model_weights(maker)[weights.rpartition(".")[2]]
    made: Any = entry.transforms()
    return (list(made.mean), list(made.std)) if hasattr(made, "mean") and hasattr(made, "std") else None


def of_data(data: DataModule) -> Normalisation | None:
    """Mean and deviation by which the data's evaluation transform normalises, where one of its steps says so."""
    steps: list[Any] = [data.sources.plain]
    while steps:
        step = steps.pop()
        steps += getattr(step, "transforms", None) or getattr(step, "steps", None) or []
        mean, std = getattr(step, "mean", None), getattr(step, "std", None)
        if mean is not None and std is not None:
            # Ours hold them for pixels up to 255, in the shape of an image.
            unit = 255.0 if isinstance(mean, Tensor) else 1.0
            return [float(value) / unit for value in mean], [float(value) / unit for value in std]
    return None


def _few(numbers: list[float]) -> str:
    return "(" + ", ".join(f"{number:.3g}" for number in numbers) + ")"
