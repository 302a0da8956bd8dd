"""What a distiller is given, checked before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import nn

from stillroom.distillers.line import STUDENT
from stillroom.distillers.term import CONTEXT
from stillroom.errors import StillroomError, nearest
from stillroom.recorders import expect_model


def named_teachers(teacher: nn.Module | Mapping[str, nn.Module] | None) -> dict[str, nn.Module]:
    """The teachers by name; a single one is called teacher.

    Raises:
        StillroomError: one is no model, or has a name that no teacher can have.
    """
    if teacher is None:
        return {}
    if not isinstance(teacher, Mapping):
        expect_model(teacher, "teacher")
        return {"teacher": teacher}
    for name, network in teacher.items():
        if name == STUDENT or not name or set(name) & set("./@:[]") or hasattr(nn.ModuleDict(), name):
            raise StillroomError("this cannot be a teacher's name", where="teacher", got=repr(name))
        expect_model(network, f"teacher.{name}")
    return dict(teacher)


def by_name(what: str, given: object) -> dict[str, Any]:
    """The terms, or the deliveries.

    Raises:
        StillroomError: they have no names.
    """
    if given is not None and not isinstance(given, Mapping):
        raise StillroomError(f"{what} have names", where=what, expected="a mapping from names", got=repr(given))
    return dict(cast("Mapping[str, Any]", given or {}))


def expect_spelt(context: Mapping[str, object], taken: Iterable[str]) -> None:
    """Refuse a keyword that nobody takes where one of nearly its name is taken and absent; batches may hold others.

    Raises:
        StillroomError: gives the name that is likely meant.
    """
    for name in context:
        if name not in taken and name not in CONTEXT:
            lacking = [other for other in taken if context.get(other) is None]
            if near := nearest(name, lacking, most=1, cutoff=0.75):
                raise StillroomError(f"no term takes {name!r}", fix=f"Did you mean {near[0]!r}?")
