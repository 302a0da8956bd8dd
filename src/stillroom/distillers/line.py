"""A term bound to the models of one distiller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from stillroom.connectors import infer
from stillroom.distillers.term import Term
from stillroom.errors import StillroomError, did_you_mean
from stillroom.recorders import Site, describe

STUDENT = "student"
Values = Mapping[str, Any]
"""Recorded values by the full name of their site: ``"student/layer3"``, ``"teacher/"``."""


@runtime_checkable
class Meets(Protocol):
    """A connector that must see the trained teacher before it can adapt what comes from it."""

    def meet(self, teacher: nn.Module) -> None: ...


class Line:
    """Gathers a term's operands from recorded values, adapts them and computes the loss.

    Args:
        name: the term's name.
        term: the term.
        teachers: names of the distiller's teachers.
    """

    def __init__(self, name: str, term: Term, teachers: Iterable[str]) -> None:
        self.name, self.term = name, term
        names = list(teachers)
        self.student = [self._bound(site, "student", [STUDENT]) for site in term.student]
        self.teacher = [self._bound(site, "teacher", names) for site in term.teacher] if term.needs_teacher else []
        self.extra = {
            argument: [self._bound(site, f"extra.{argument}", [STUDENT, *names]) for site in _several(sites)]
            for argument, sites in term.extra.items()
        }
        self.connector, self.teacher_connector = given(term.connector), given(term.teacher_connector)
        self._keys = [str(site) for site in self.student], [str(site) for site in self.teacher]
        # Every step asks which arguments are a value as recorded, and which side is made into the others.
        self._recorded = {
            name: str(sites[0]) for name, sites in self.extra.items() if isinstance(term.extra[name], Site)
        }
        self._gathered = {name: [*map(str, sites)] for name, sites in self.extra.items() if name not in self._recorded}
        self._made: dict[str, int] = {}
        for side, argument in enumerate(term.operands):
            if term.is_tuple[side] or (term.connector, term.teacher_connector)[side] is not None:
                self._made[argument] = side
            else:
                self._recorded[argument] = self._keys[side][0]
        if not term.operands:
            raise self.error("the loss takes no value of the student", got=type(term.loss).__name__)

    def sites(self) -> list[tuple[str, Site]]:
        """Every site with the key under which an error speaks of it."""
        return [
            *((f"terms.{self.name}.student", site) for site in self.student),
            *((f"terms.{self.name}.teacher", site) for site in self.teacher),
            *((f"terms.{self.name}.extra.{name}", site) for name, sites in self.extra.items() for site in sites),
        ]

    def build(self, values: Values, like: Tensor | None) -> None:
        """Infer the connector from the recorded values where the term says ``"auto"``; keep one that was inferred."""
        if self.term.connector != "auto" or self.connector is not None:
            return
        pairs = list(zip(self.student, self.teacher, strict=False))
        if len(self.student) != len(self.teacher):
            raise self.error(
                '"auto" needs as many sites on both sides',
                got=f"{len(self.student)} of the student, {len(self.teacher)} of the teacher",
            )
        modules: list[nn.Module] = []
        for student, teacher in pairs:
            have, want = values[str(student)], values[str(teacher)]
            if not isinstance(have, Tensor) or not isinstance(want, Tensor):
                raise self.error('"auto" needs tensors', got=f"{describe(have)} and {describe(want)}")
            try:
                modules.append(infer(tuple(have.shape), tuple(want.shape)))
            except StillroomError as error:
                raise error.at(f"terms.{self.name}.connector") from None
        self.connector = nn.ModuleList(modules) if self.term.is_tuple[0] else modules[0]
        if like is not None:
            self.connector.to(like.device, like.dtype)

    def meet(self, teachers: Mapping[str, nn.Module]) -> None:
        """Let the teacher's connectors that ask for it take from the teacher what they need, such as margins."""
        if self.teacher_connector is None or not self.teacher:
            return
        for part in self.teacher_connector.modules():
            if isinstance(part, Meets):
                try:
                    part.meet(teachers[str(self.teacher[0].model)])
                except StillroomError as error:
                    raise error.at(f"terms.{self.name}.teacher_connector") from None

    def expect_logits(self, values: Values) -> None:
        """Refuse probabilities where the loss reads logits. Looks at the values: for the dry batch only.

        Raises:
            StillroomError: the rows of an operand are non-negative and sum to 1.
        """
        if getattr(getattr(self.term.loss, "facts", None), "reads", None) != "logits":
            return
        for model, keys in zip((STUDENT, "teacher"), self._keys, strict=True):
            for key in keys:
                if _looks_like_probabilities(values[key]):
                    raise self.error(
                        f"the {model}'s value at {key!r} looks like probabilities",
                        expected="logits, before softmax",
                        got="rows that are non-negative and sum to 1",
                        fix="Take the softmax out of the model, or choose the site before it.",
                    )

    def can_compute(self, context: Mapping[str, Any]) -> bool:
        return all(context.get(name) is not None for name, required in self.term.context.items() if required)

    def __call__(self, values: Values, context: Mapping[str, Any], adapted: dict[tuple[int, str], Any]) -> Tensor:
        """The raw loss, a scalar.

        Args:
            values: what was recorded of the student and the teachers.
            context: the keywords of the distiller's call.
            adapted: results of connectors in this step, by connector and sites: one object runs once.
        """
        try:
            loss: Any = self.term.loss(**self._arguments(values, context, adapted))
        except StillroomError as error:
            raise error.at(f"terms.{self.name}") from None
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            raise self.error("the loss must return one number", expected="a Tensor of shape ()", got=describe(loss))
        return loss

    def rehearse(self, values: Values, context: Mapping[str, Any], adapted: dict[tuple[int, str], Any]) -> None:
        """Compute the loss once, to see that it can be: whatever goes wrong, the message names the term."""
        try:
            self(values, context, adapted)
        except StillroomError:
            raise
        except Exception as error:
            raise self.error(
                "the loss, or a connector before it, failed", got=f"{type(error).__name__}: {error}"
            ) from error

    def error(self, problem: str, *, expected: object = None, got: object = None, fix: str = "") -> StillroomError:
        return StillroomError(problem, where=f"terms.{self.name}", expected=expected, got=got, fix=fix)

    def _arguments(
        self, values: Values, context: Mapping[str, Any], adapted: dict[tuple[int, str], Any]
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for argument, key in self._recorded.items():
            arguments[argument] = values[key] if key in values else _untaught(values, key)
        for argument, keys in self._gathered.items():
            arguments[argument] = tuple(_value(values, key) for key in keys)
        for argument, side in self._made.items():
            arguments[argument] = self._operand(values, side, adapted)
        for name, required in self.term.context.items():
            if context.get(name) is not None:
                arguments[name] = context[name]
            elif required:
                raise StillroomError(
                    f"{type(self.term.loss).__name__} needs the argument {name!r}",
                    fix=f"Pass it: distiller(inputs, {name}=...); or record it: extra={{{name!r}: site}}.",
                )
        return arguments

    def _operand(self, values: Values, side: int, adapted: dict[tuple[int, str], Any]) -> Any:
        connector, keys = (self.connector, self.teacher_connector)[side], self._keys[side]
        parts = [_value(values, key) for key in keys]
        value = tuple(parts) if self.term.is_tuple[side] else parts[0]
        if connector is None:
            return value
        use = id(connector), " ".join(keys)
        if use not in adapted:
            adapted[use] = _adapt(connector, value)
        return adapted[use]

    def _bound(self, site: Site, key: str, allowed: list[str]) -> Site:
        if site.model is None and len(allowed) == 1:
            return replace(site, model=allowed[0])
        if site.model in allowed:
            return site
        where = f"terms.{self.name}.{key}"
        if not allowed:
            fix = f"Give a teacher, or leave the term out (terms.{self.name}=null in a recipe)."
            raise StillroomError("this term needs a teacher, and the distiller has none", where=where, fix=fix)
        if site.model is None:
            raise StillroomError(
                f"which teacher? There are {', '.join(allowed)}", where=where, expected=f'"{allowed[0]}/{site}"'
            )
        if key == "student" or (key == "teacher" and site.model == STUDENT):
            raise StillroomError(
                f"the {key}'s value of a term is read in {'the student' if key == 'student' else 'a teacher'}",
                where=where,
                got=repr(str(site)),
                fix="extra={argument: site} reads any model.",
            )
        raise StillroomError(
            f"there is no model {site.model!r}", where=where, got=repr(str(site)), fix=did_you_mean(site.model, allowed)
        )


def _several(given: Site | tuple[Site, ...]) -> tuple[Site, ...]:
    return (given,) if isinstance(given, Site) else given


def _value(values: Values, key: str) -> Any:
    return values[key] if key in values else _untaught(values, key)


def _untaught(values: Values, key: str) -> NoReturn:
    """A value of a teacher is absent: what was taught came from outside."""
    raise StillroomError(
        f"nothing was taught for {key!r}",
        got=f"values of {', '.join(map(repr, values))}",
        fix="Pass what distiller.teach(*inputs) returns while this term is active.",
    )


def given(connector: object) -> nn.Module | None:
    """The module of a connector that was given as one; None where there is none, or where it is to be inferred."""
    if isinstance(connector, tuple):
        return nn.ModuleList(cast("tuple[nn.Module, ...]", connector))
    return connector if isinstance(connector, nn.Module) else None


def _adapt(connector: nn.Module, value: Any) -> Any:
    if isinstance(connector, nn.ModuleList):
        return tuple(cast("Callable[[Any], Any]", part)(item) for part, item in zip(connector, value, strict=True))
    return connector(value)


def _looks_like_probabilities(value: Any) -> bool:
    """Whether every row of (N, C) is non-negative and sums to 1. Reads the values: for the dry batch only."""
    if not isinstance(value, Tensor) or value.dim() != 2 or value.shape[1] < 2 or not value.is_floating_point():
        return False
    rows = value.float()
    return len(rows) > 0 and bool(
        (rows >= 0).all() and torch.allclose(rows.sum(1), torch.ones_like(rows[:, 0]), atol=1e-3)
    )
