"""Pairs of sites for the terms of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from stillroom.algorithms import split
from stillroom.diagnosis import Suggestions, suggest
from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.recipe import Recipe
from stillroom.runs.teachers import standing_teachers
from stillroom.runs.train import make_data

SAMPLES, SAMPLES_OF_CKA = 8, 64


@dataclass(frozen=True)
class Advice:
    """What a recipe's student could learn from one of its teachers.

    Attributes:
        found: the pairs.
        teacher: name of the teacher, where the recipe has several; or None.
        trained: whether the teacher was there with its weights; otherwise one that has learned nothing stood in.
    """

    found: Suggestions
    teacher: str | None
    trained: bool


def suggest_for(recipe: Recipe, *, teacher: str | None = None, cka: bool = False) -> Advice:
    """Run the recipe's student and a teacher on its first validation samples, and pair their stages.

    Nothing is trained: the student is as it is made, and so is a teacher that has no weights yet.

    Args:
        recipe: whose models and data are wanted.
        teacher: which of its teachers, where there are several.
        cka: also compute how similar the values of each pair are.

    Raises:
        StillroomError: the recipe has no such teacher, or the two have nothing in common.
    """
    name = _chosen(recipe, teacher)
    data = make_data(recipe)
    data.prepare_data()
    torch.manual_seed(recipe.seed)
    student = cast("nn.Module", recipe.student.make())
    standing = standing_teachers(recipe, data)[name]
    inputs, _ = split(data.sample(SAMPLES_OF_CKA if cka else SAMPLES))
    found = suggest(student, standing.network, inputs, cka=cka)
    return Advice(found, name if recipe.teachers else None, standing.trained)


def _chosen(recipe: Recipe, wanted: str | None) -> str:
    # What an ensemble is made of has sites; it has none of its own.
    names = [name for name, section in recipe.team.items() if isinstance(section, str) or "members" not in section]
    if not names:
        raise StillroomError(
            "the recipe has no teacher",
            where="teacher",
            got=None,
            fix="Name one: -t with a recipe, a run folder, a checkpoint or weights.",
        )
    if wanted is None and len(names) > 1:
        raise StillroomError("which teacher?", where="--of", expected=" or ".join(names))
    if wanted is not None and wanted not in names:
        raise StillroomError(f"there is no teacher {wanted!r}", where="--of", fix=did_you_mean(wanted, names))
    return names[0] if wanted is None else wanted
