"""The teachers of a recipe: one or several, trained, found or named, and ensembles of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.build import expect_known, mapping, spec
from stillroom.runs.overrides import HOMES

SHARED = ("data", "task", "optimizer", "scheduler", "scheduler_interval", "trainer", "seed")
"""What a teacher that is trained takes from the recipe where it does not say it."""
SEAT_KEYS = ("check", "classes", "transform")
TEACHER_KEYS = ("model", "from", "weights", *SEAT_KEYS, *SHARED)
INCLUDED = "included"
"""The word for weights that the model itself loads when it is made, such as those of torchvision and timm."""
ENSEMBLE_KEYS = ("members", "weights", "tau")

Complete = Callable[[Mapping[str, Any], str], Mapping[str, Any]]
"""Of a teacher that is trained: its section and its key, to all that it takes to train it."""


def teachers(plain: Mapping[str, Any], complete: Complete) -> dict[str, Mapping[str, Any] | str]:
    """The section of several teachers, which may be ensembles of others.

    Raises:
        StillroomError: names the key.
    """
    team = mapping("teachers", plain.get("teachers"))
    if team and plain.get("teacher") is not None:
        raise StillroomError("one teacher or several, not both", where="teachers", fix="Move it under teachers.")
    found: dict[str, Mapping[str, Any] | str] = {}
    for each, section in team.items():
        where = f"teachers.{each}"
        if isinstance(section, Mapping) and "members" in section:
            found[each] = _ensemble(cast("Mapping[str, Any]", section), where, team)
        elif (whole := teacher(section, where, complete)) is None:
            raise StillroomError("this teacher is none", where=where, got=None, fix="Leave it out.")
        else:
            found[each] = whole
    return found


def _ensemble(section: Mapping[str, Any], where: str, team: Mapping[str, Any]) -> Mapping[str, Any]:
    expect_known(where, section, ENSEMBLE_KEYS)
    single = [name for name, other in team.items() if not (isinstance(other, Mapping) and "members" in other)]
    members = section["members"]
    if not isinstance(members, list) or not members:
        raise StillroomError("an ensemble needs members", where=f"{where}.members", got=repr(members))
    for member in cast("list[Any]", members):
        if member not in single:
            fix = did_you_mean(str(member), single)
            raise StillroomError("there is no such teacher", where=f"{where}.members", got=repr(member), fix=fix)
    return dict(section)


def teacher(given: object, where: str, complete: Complete) -> Mapping[str, Any] | str | None:
    """One teacher's section, complete: what it does not say must not come from elsewhere when the recipe is read again.

    Raises:
        StillroomError: names the key.
    """
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        expected = "null, a mapping, or a recipe, run folder, checkpoint or weights file"
        raise StillroomError("this is no teacher", where=where, expected=expected, got=repr(given))
    section = cast("Mapping[str, Any]", given)
    expect_known(where, section, TEACHER_KEYS)
    seat = _seat(section, where)
    if "from" in section:
        if not isinstance(section["from"], str) or section.keys() - {"from", *SEAT_KEYS}:
            expected = "a recipe, run folder, checkpoint or weights file, and no key but check, classes and transform"
            raise StillroomError("this is no teacher from elsewhere", where=where, expected=expected, got=section)
        return {"from": section["from"], **seat}
    weights = section.get("weights")
    own = {"model": spec(f"{where}.model", section.get("model"), home=HOMES["model"]).plain(), "weights": weights}
    if weights is None:
        return {**own, **seat, **complete(section, where)}
    if not isinstance(weights, str):
        expected = f"a file, https://...#sha256=..., or {INCLUDED}"
        raise StillroomError("these are no weights", where=f"{where}.weights", expected=expected, got=repr(weights))
    return {**own, **seat}


def _seat(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """How the teacher stands beside the student; what is not said is left out, but for the check."""
    check, classes, transform = (section.get(key) for key in SEAT_KEYS)
    check = True if check is None and "check" not in section else check
    if not isinstance(check, bool):
        raise StillroomError("this must be true or false", where=f"{where}.check", got=repr(check))
    seat: dict[str, Any] = {"check": check}
    if classes is not None:
        listed = isinstance(classes, list) and all(isinstance(each, int) for each in cast("list[Any]", classes))
        if not listed and classes != "by_name":
            expected = "by_name, or for each class of the student its index among the teacher's"
            raise StillroomError("these are no classes", where=f"{where}.classes", expected=expected, got=classes)
        seat["classes"] = classes
    if transform is not None:
        seat["transform"] = spec(f"{where}.transform", transform, home=HOMES["connector"]).plain()
    return seat
