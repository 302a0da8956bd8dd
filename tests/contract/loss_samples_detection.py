"""Random inputs for losses of dense detectors: maps with boxes, locations with weights, heads with their tails."""

from __future__ import annotations

from typing import Any

import torch
from loss_samples import Sample, Sampler, sides
from torch import Tensor, nn

# A map of stride 8.
IMAGE, MAP = (32, 24), (4, 3)


def _drawn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def boxed(channels: int) -> Sampler:
    """Maps, and two, no or one box for each image."""

    def draw(generator: torch.Generator, n: int) -> Sample:
        sample = sides(((channels, *MAP),), ((channels, *MAP),), single=True)(generator, n)
        boxes = [_boxes(generator, (2, 0, 1)[place % 3]) for place in range(n)]
        return Sample(sample.student, sample.teacher, {"boxes": boxes, "image_size": IMAGE})

    return draw


def _boxes(generator: torch.Generator, count: int) -> Tensor:
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64).sort(dim=1).values
    return (corners * torch.tensor(IMAGE[::-1])).flatten(1)


def _picked(generator: torch.Generator, n: int) -> Sample:
    weights = torch.rand(n, generator=generator, dtype=torch.float64)
    return Sample(_drawn(generator, n, 4, 5), _drawn(generator, n, 4, 5), {"weights": weights})


def _dense(generator: torch.Generator, n: int) -> Sample:
    weights = torch.rand(n, 2, 3, generator=generator, dtype=torch.float64)
    return Sample(_drawn(generator, n, 12, 2, 3), _drawn(generator, n, 12, 2, 3), {"weights": weights})


def located(arguments: dict[str, Any]) -> tuple[Sampler, ...]:
    """As many locations as samples, or, for another than the first temperature, dense maps."""
    return (_dense,) if arguments else (_picked,)


def crossing(arguments: dict[str, Any]) -> tuple[Sampler, ...]:
    """Heads of four channels that predict what the arguments say: one level, or two with a number of positives."""
    predictions, anchors = arguments.get("predictions", "scores"), arguments.get("anchors", 1)
    channels = {"scores": 4, "distributions": 12 * anchors}.get(predictions, 4 * anchors)

    def one(generator: torch.Generator, n: int) -> Sample:
        return _crossed(generator, n, ((2, 3),), channels, with_scores=predictions != "scores")

    def two(generator: torch.Generator, n: int) -> Sample:
        return _crossed(generator, n, ((1, 3), (2, 1)), channels, with_scores=predictions != "scores")

    return one, two


def _crossed(
    generator: torch.Generator, n: int, levels: tuple[tuple[int, int], ...], channels: int, *, with_scores: bool
) -> Sample:
    def maps(width: int) -> Any:
        drawn = tuple(_drawn(generator, n, width, *size) for size in levels)
        return drawn if len(levels) > 1 else drawn[0]

    context: dict[str, Any] = {"hidden": maps(4), "tail": _tail(generator, channels)}
    if with_scores:
        context["scores"] = maps(4)
    if len(levels) > 1:
        context["positives"] = torch.tensor(3)
    of_teacher = tuple(name for name in ("hidden", "scores") if name in context)
    return Sample(maps(4), maps(channels), context, of_teacher)


def _tail(generator: torch.Generator, channels: int) -> nn.Module:
    """The bias makes most of what it predicts positive, as distances are."""
    tail = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels, 1)).double()
    with torch.no_grad():
        for parameter in tail.parameters():
            parameter.copy_(_drawn(generator, *parameter.shape) / 4 + (parameter.ndim == 1))
    return tail
