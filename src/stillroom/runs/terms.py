"""The ``terms`` section of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from stillroom.distillers import Term
from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.build import Spec, expect_known, mapping, number, spec
from stillroom.runs.overrides import HOMES, RECORDERS

CONNECTORS = ("connector", "teacher_connector")
TERM_KEYS = ("loss", "student", "teacher", "connector", "teacher_connector", "extra", "weight")


@dataclass(frozen=True)
class TermSpec:
    """A checked term.

    Attributes:
        where: its key in the recipe.
        parts: its section, each class as a ``Spec``.
        shared: of a connector that is another term's, by its key, the name of that term.
    """

    where: str
    parts: Mapping[str, Any]
    shared: Mapping[str, str]

    def make(self, others: Mapping[str, Term] | None = None) -> Term:
        """A new term.

        Args:
            others: holds the terms whose connectors it shares.

        Raises:
            StillroomError: its parts do not fit together, or there is nothing to share; names the key.
        """
        try:
            theirs = {key: self._of((others or {})[name], key) for key, name in self.shared.items()}
            return Term(**{key: _made(part) for key, part in self.parts.items()} | theirs)
        except StillroomError as error:
            raise error if str(error.where).startswith(self.where) else error.at(self.where) from None

    def plain(self) -> dict[str, Any]:
        """As it is written into a recipe."""
        return {key: _plain(part) for key, part in self.parts.items()}

    def _of(self, other: Term, key: str) -> Any:
        found: object = getattr(other, key)
        if found is None or found == "auto":
            raise StillroomError(
                "only a connector that is given by class can be shared", where=key, got=f"{found} in {self.parts[key]}"
            )
        return found


def term_specs(given: object) -> dict[str, TermSpec]:
    """The terms of a recipe by name.

    Raises:
        StillroomError: an unknown key, no loss, or a part that is none; names the key.
    """
    sections = mapping("terms", given)
    specs = {name: _term(name, section, [n for n in sections if n != name]) for name, section in sections.items()}
    make_terms(specs)  # a wrong term is found now, not after the teacher was trained
    return specs


def make_terms(specs: Mapping[str, TermSpec]) -> dict[str, Term]:
    """New terms; a connector of several is one object.

    Raises:
        StillroomError: the parts of a term do not fit together, or terms share their connectors in a circle.
    """
    made: dict[str, Term] = {}
    while len(made) < len(specs):
        waiting = [name for name in specs if name not in made]
        ready = [name for name in waiting if made.keys() >= set(specs[name].shared.values())]
        if not ready:
            raise StillroomError("these terms share connectors in a circle", where="terms", got=", ".join(waiting))
        made |= {name: specs[name].make(made) for name in ready}
    return {name: made[name] for name in specs}


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
    shared = {key: other for key in CONNECTORS if (other := _shared(f"{where}.{key}", section.get(key), others))}
    for key in CONNECTORS:
        if key in section and key not in shared:
            parts[key] = _connector(f"{where}.{key}", section[key])
    if "weight" in section:
        parts["weight"] = weight(f"{where}.weight", section["weight"])
    if "extra" in section:
        sites = mapping(f"{where}.extra", section["extra"])
        parts["extra"] = {name: _site(f"{where}.extra.{name}", site) for name, site in sites.items()}
    return TermSpec(where, parts, shared)


def _site(where: str, given: Any) -> Any:
    """A site string as it is, a recorder as a class, and a list of them."""
    if isinstance(given, list):
        return [_site(f"{where}.{index}", part) for index, part in enumerate(cast("list[Any]", given))]
    return spec(where, given, home=RECORDERS) if isinstance(given, Mapping) else given


def _shared(where: str, given: object, others: Sequence[str]) -> str | None:
    """The name in ``terms.name``; None of what is no other term's connector."""
    if not isinstance(given, str) or not given.startswith("terms."):
        return None
    name = given.removeprefix("terms.")
    if name not in others:
        raise StillroomError(f"there is no other term {name!r}", where=where, fix=did_you_mean(name, others))
    return name


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
