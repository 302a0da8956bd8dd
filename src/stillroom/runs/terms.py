"""The ``terms`` section of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from stillroom.distillers import Term
from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.build import Spec, expect_known, mapping, number, spec
from stillroom.runs.overrides import HOMES, RECORDERS

TERM_KEYS = ("loss", "student", "teacher", "connector", "teacher_connector", "extra", "weight")


@dataclass(frozen=True)
class TermSpec:
    """A checked term.

    Attributes:
        where: its key in the recipe.
        parts: its section, each class as a ``Spec``.
    """

    where: str
    parts: Mapping[str, Any]

    def make(self) -> Term:
        """A new term.

        Raises:
            StillroomError: its parts do not fit together; names the key.
        """
        try:
            return Term(**{key: _made(part) for key, part in self.parts.items()})
        except StillroomError as error:
            raise error if str(error.where).startswith(self.where) else error.at(self.where) from None

    def plain(self) -> dict[str, Any]:
        """As it is written into a recipe."""
        return {key: _plain(part) for key, part in self.parts.items()}


def term_specs(given: object) -> dict[str, TermSpec]:
    """The terms of a recipe by name.

    Raises:
        StillroomError: an unknown key, no loss, or a part that is none; names the key.
    """
    sections = mapping("terms", given)
    return {name: _term(name, section, [n for n in sections if n != name]) for name, section in sections.items()}


def _term(name: str, given: object, others: Sequence[str]) -> TermSpec:
    where = f"terms.{name}"
    if not isinstance(given, Mapping) or "loss" not in given:
        fix = did_you_mean(name, others) if others else ""
        raise StillroomError("a term is a mapping with at least a loss", where=where, got=repr(given), fix=fix)
    section = cast("Mapping[str, Any]", given)
    expect_known(where, section, TERM_KEYS)
    parts: dict[str, Any] = {**section, "loss": spec(f"{where}.loss", section["loss"], home=HOMES["loss"])}
    for key in ("student", "teacher"):
        if key in section:
            parts[key] = _site(f"{where}.{key}", section[key])
    for key in ("connector", "teacher_connector"):
        if key in section:
            parts[key] = _connector(f"{where}.{key}", section[key])
    if "weight" in section:
        parts["weight"] = weight(f"{where}.weight", section["weight"])
    if "extra" in section:
        sites = mapping(f"{where}.extra", section["extra"])
        parts["extra"] = {name: _site(f"{where}.extra.{name}", site) for name, site in sites.items()}
    found = TermSpec(where, parts)
    found.make()  # a wrong term is found now, not after the teacher was trained
    return found


def _site(where: str, given: Any) -> Any:
    """A site string as it is, a recorder as a class, and a list of them."""
    if isinstance(given, list):
        return [_site(f"{where}.{index}", part) for index, part in enumerate(cast("list[Any]", given))]
    return spec(where, given, home=RECORDERS) if isinstance(given, Mapping) else given


def _connector(where: str, given: Any) -> Any:
    if given is None or given == "auto":
        return given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [_connector(f"{where}.{index}", part) for index, part in enumerate(cast("Sequence[Any]", given))]
    return spec(where, given, home=HOMES["connector"])


def weight(where: str, given: Any) -> Spec | float:
    """A number, or a schedule by class path.

    Raises:
        StillroomError: it is neither; names the key.
    """
    is_class = isinstance(given, Mapping) or (isinstance(given, str) and given[:1].isalpha())
    return spec(where, given, home=HOMES["weight"]) if is_class else number(where, given)


def _made(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _made(item) for name, item in cast("dict[str, Any]", part).items()}
    if isinstance(part, list):
        return [_made(item) for item in cast("list[Any]", part)]
    return part.make() if isinstance(part, Spec) else part


def _plain(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _plain(item) for name, item in cast("dict[str, Any]", part).items()}
    if isinstance(part, list):
        return [_plain(item) for item in cast("list[Any]", part)]
    return part.plain() if isinstance(part, Spec) else part
