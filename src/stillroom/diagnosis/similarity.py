"""Every layer of one model against every layer of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.diagnosis.asking import asked, network_of
from stillroom.diagnosis.cka import centred_gram
from stillroom.diagnosis.stages import anatomy_of, expect_stages
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.recorders import describe, record

LEAST = 4


@dataclass(frozen=True)
class Similarity:
    """CKA of the layers of two models.

    Attributes:
        rows: sites of the first model.
        columns: sites of the second.
        matrix: (rows, columns), float64, 1 where two layers see the samples alike.
        samples: number of samples that it was computed from.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    matrix: Tensor
    samples: int


def similarity(
    model_a: nn.Module,
    model_b: nn.Module,
    batches: Iterable[Any],
    *,
    sites: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Similarity:
    """Compare two models layer by layer: debiased linear CKA, its parts averaged over batches (Nguyen 2021).

    Both run in evaluation mode without gradients, and are left as they were. A batch at a time is held in memory; how
    the samples are divided into batches does not bias the result. It describes models and chooses nothing: of weights
    that are not trained it tells little.

    Args:
        model_a, model_b: any models, one and the same too.
        batches: what both are called with, each of at least 4 samples.
        sites: module paths of the first and of the second model; None for the stages of each, as of
            :func:`~stillroom.diagnosis.suggest`.

    Raises:
        StillroomError: there is no batch, one is too small, a model does not take it, or a site has no tensor.
    """
    cross: Tensor | None = None
    own: list[Tensor] = []
    samples = 0
    for batch in batches:
        if sites is None:
            sites = _stages(model_a, batch, "model_a"), _stages(model_b, batch, "model_b")
        a = _grams(values_at(model_a, sites[0], batch, "model_a"))
        b = _grams(values_at(model_b, sites[1], batch, "model_b"))
        count = _common_count(a, b)
        scale = count * (count - 3)
        found = [a @ b.T / scale, (a * a).sum(1) / scale, (b * b).sum(1) / scale]
        cross, *own = found if cross is None else [old + new for old, new in zip([cross, *own], found, strict=True)]
        samples += count
    if cross is None or sites is None:
        raise StillroomError("there is nothing to compare the models on", where="batches", got="no batch")
    matrix = cross / (own[0][:, None] * own[1][None, :]).sqrt()
    return Similarity(tuple(sites[0]), tuple(sites[1]), matrix, samples)


def values_at(model: nn.Module, sites: Sequence[str], batch: Any, where: str) -> dict[str, Tensor]:
    """What the model computes at these sites.

    Args:
        model: any model; it is left as it was.
        sites: site strings, without a model's name in front.
        batch: what it is called with.
        where: name of the model, for messages.

    Raises:
        StillroomError: there is no such site, it did not run once, or its value is no tensor.
    """
    network = network_of(model)
    values: dict[str, Tensor] = {}
    with untouched(network), record(network, **{site: site for site in sites}) as seen:
        asked(model, batch, where)
        for site in sites:
            value = seen[site]
            if not isinstance(value, Tensor) or value.dim() < 2 or not value.is_floating_point():
                raise StillroomError(
                    "only tensors can be compared", where=f"{where}.{site}", expected="(N, ...)", got=describe(value)
                )
            values[site] = value
    return values


def _stages(model: nn.Module, batch: Any, where: str) -> list[str]:
    found = anatomy_of(model, batch, where)
    expect_stages(found, where)
    return [stage.site for stage in (found.blocks or found.stages)]


def _grams(values: dict[str, Tensor]) -> Tensor:
    """(sites, N²)."""
    counts = {len(value) for value in values.values()}
    if len(counts) != 1 or min(counts) < LEAST:
        raise StillroomError(
            "debiased CKA needs the same samples at every site, and at least 4 in a batch",
            where="batches",
            got=f"{', '.join(f'{site} {tuple(value.shape)}' for site, value in values.items())}",
            fix="Leave a small last batch out (drop_last=True).",
        )
    return torch.stack([centred_gram(value).flatten() for value in values.values()])


def _common_count(a: Tensor, b: Tensor) -> int:
    if a.shape[1] != b.shape[1]:
        counts = [round(each.shape[1] ** 0.5) for each in (a, b)]
        raise StillroomError("the models see different numbers of samples", where="batches", got=counts)
    return round(a.shape[1] ** 0.5)
