"""Pairs of sites that are worth a term, found by running both models once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from stillroom.diagnosis.adapting import Adapter
from stillroom.diagnosis.cka import cka as cka_of
from stillroom.diagnosis.layout import layout_of
from stillroom.diagnosis.pairing import Pair, pair_stages
from stillroom.diagnosis.similarity import values_at
from stillroom.diagnosis.stages import Anatomy, Stage, anatomy, expect_stages
from stillroom.diagnosis.suggestions import Suggestions
from stillroom.diagnosis.survey import Survey, survey
from stillroom.errors import StillroomError
from stillroom.recorders import describe


def suggest(student: nn.Module, teacher: nn.Module, batch: Any, *, cka: bool = False) -> Suggestions:
    """Find places of the student and of the teacher that mean the same, and what stands between them.

    Both models run once on the batch in evaluation mode, and are left as they were. The stages of each are the last
    blocks before its map is halved, as timm's ``feature_info`` names them or as the tree of modules shows them. Stages
    of equal stride make a pair, four at most. A model of one resolution, such as a vision transformer, has no strides
    to go by: the blocks at a quarter, a half, three quarters and the whole of its depth are taken then.

    What comes out is a place to start from, not a choice that was measured. Whether the weights are trained does not
    matter to it.

    Args:
        student: any model of images.
        teacher: another one, or a :class:`~stillroom.distillers.Teacher` with its transform and classes.
        batch: square images (N, C, S, S) that both take, or a mapping of keywords with such images.
        cka: also compute how similar the values of each pair are on this batch (debiased linear CKA, needs N >= 4). It
            is information only: it favours early layers, tells nothing of untrained weights, and chooses no pair.

    Returns:
        The pairs; ``.terms()`` gives them to a distiller, ``.yaml()`` to a recipe.

    Raises:
        StillroomError: a model does not take the batch, or this holds no square images; neither a stage nor the classes
            of the outputs are common to both.

    Example:
        >>> found = suggest(student, teacher, images)
        >>> print(found)
        >>> distiller = Distiller(student, teacher, terms=found.terms())
    """
    surveys = survey(student, batch, "student"), survey(teacher, batch, "teacher")
    of_student, of_teacher = anatomy(surveys[0]), anatomy(surveys[1])
    logits, notes = _logits(*surveys)
    pairs = pair_stages(of_student, of_teacher)
    if not pairs:
        notes.append(_nothing_in_common(of_student, of_teacher, alone=logits is None))
    if cka:
        pairs = _compared(pairs, student, teacher, batch)
    return Suggestions(tuple(pairs), logits, tuple(notes))


def _nothing_in_common(student: Anatomy, teacher: Anatomy, *, alone: bool) -> str:
    """The note that no feature of the two can be compared; an error where the outputs cannot either."""
    if alone:
        expect_stages(student, "student")
        expect_stages(teacher, "teacher")
    strides = [
        ", ".join(str(stage.layout.stride) for stage in model.stages) or "none that is recognised"
        for model in (student, teacher)
    ]
    error = StillroomError(
        f"{student.name} and {teacher.name} have no stage in common",
        expected="maps of equal stride",
        got=f"strides {strides[0]} of the student, {strides[1]} of the teacher",
        fix="Name sites yourself, with a connector between them.",
    )
    if alone:
        raise error
    return str(error)


def _logits(student: Survey, teacher: Survey) -> tuple[Pair | None, list[str]]:
    """The pair of the outputs, or a note why there is none."""
    outputs = [_output(found) for found in (student, teacher)]
    if any(output is None for output in outputs):
        got = f"{describe(student.output)} of the student, {describe(teacher.output)} of the teacher"
        return None, [f"No term on the logits: the outputs are {got}, not both logits (N, C)."]
    mine, theirs = (output for output in outputs if output is not None)
    if mine.shape[1] != theirs.shape[1]:
        counts = f"{mine.shape[1]} of the student, {theirs.shape[1]} of the teacher"
        return None, [f"No term on the logits: the numbers of classes differ, {counts}."]
    return Pair("kl", mine, theirs, f"both outputs have {mine.shape[1]} classes", Adapter(())), []


def _output(found: Survey) -> Stage | None:
    """The logits that a model returns: a tensor (N, C), alone or under that name."""
    output, site = found.output, ""
    if isinstance(output, Mapping) and "logits" in output:
        output, site = output["logits"], "[logits]"
    if not isinstance(output, Tensor):
        return None
    shape = tuple(output.shape)
    layout = layout_of(shape, batch=found.image[0], size=found.image[2])
    if layout is None or layout.form != "vector":
        return None
    kind = type(found.network).__name__
    return Stage(site, kind, shape, layout, bool(output.min() < 0), kind)


def _compared(pairs: list[Pair], student: nn.Module, teacher: nn.Module, batch: Any) -> list[Pair]:
    mine = values_at(student, [pair.student.site for pair in pairs], batch, "student")
    theirs = values_at(teacher, [pair.teacher.site for pair in pairs], batch, "teacher")
    return [replace(pair, cka=float(cka_of(mine[pair.student.site], theirs[pair.teacher.site]))) for pair in pairs]
