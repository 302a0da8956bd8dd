"""One line of a recipe: a loss, its sites, its connectors, its weight."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Literal, TypeGuard

from torch import nn

from stillroom.distillers.schedule import Schedule, as_schedule
from stillroom.errors import StillroomError, did_you_mean
from stillroom.losses import KLDivergence
from stillroom.recorders import Gradients, Recorder, Site, parse_site

CONTEXT = ("labels", "index", "boxes")
"""Names of a loss's positional arguments that are never the student's or the teacher's value."""

SiteLike = str | Recorder | Site
Sites = SiteLike | Sequence[SiteLike] | None
Adapter = Literal["auto"] | nn.Module | Sequence[nn.Module] | None


class Term:
    """A loss between values of the student and of a teacher.

    Which argument of the loss is which follows from the signature of its ``forward``: keyword-only arguments and those
    named ``labels``, ``index`` or ``boxes`` are bound by name from the keywords of the distiller's call, those named in
    ``extra`` from the site given there, and of the others the first is the student's value, the second the teacher's.

    Args:
        loss: any module that returns a scalar.
        student: a site, or a sequence of sites that gives the loss a tuple; None for the model's output. See
            :func:`stillroom.recorders.parse_site` for the strings.
        teacher: the same for the teacher; ``"big/layer4"`` names one of several, and so does ``Site(recorder, "big")``.
        connector: adapts the student's value: a module, ``"auto"`` (inferred from both shapes by ``prepare``), or a
            sequence of modules: for one site a chain, for a sequence of sites one for each.
        teacher_connector: the same for the teacher's value, without ``"auto"``.
        extra: further recorded values by the name of the loss's argument, e.g. ``{"features": "student/layer4"}``; a
            sequence of sites gives a tuple.
        weight: a number, or a :class:`~stillroom.distillers.Schedule`. At 0 the term is not computed.

    Raises:
        StillroomError: the loss is no module, or has no such argument; a site is no site, a connector no connector, a
            weight not finite.
    """

    def __init__(
        self,
        loss: nn.Module,
        *,
        student: Sites = None,
        teacher: Sites = None,
        connector: Adapter = None,
        teacher_connector: Adapter = None,
        extra: Mapping[str, SiteLike | Sequence[SiteLike]] | None = None,
        weight: float | Schedule = 1.0,
    ) -> None:
        if teacher_connector == "auto":
            raise StillroomError(
                '"auto" adapts the student to the teacher', where="teacher_connector", fix='Use connector="auto".'
            )
        self.loss = loss
        self.student, self.teacher = _sites("student", student), _sites("teacher", teacher)
        self.is_tuple = _is_sequence(student), _is_sequence(teacher)
        self.connector = _adapter("connector", connector, student)
        self.teacher_connector = _adapter("teacher_connector", teacher_connector, teacher)
        _expect_mapping(extra)
        self.extra = {name: _extra(name, given) for name, given in (extra or {}).items()}
        self.weight = as_schedule(weight)
        self.operands, self.context = _arguments(loss, self.extra)
        if not self.needs_teacher and (teacher is not None or teacher_connector is not None):
            raise StillroomError("the loss takes no value of a teacher", where="teacher", got=type(loss).__name__)

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss has a second operand; a loss on the student alone has none."""
        return len(self.operands) == 2


def default_terms(*, delivers: bool) -> dict[str, Term]:
    """Where no terms are given: plain knowledge distillation, or none at all beside deliveries."""
    return {} if delivers else {"kl": Term(KLDivergence(tau=4.0))}


def _is_sequence(given: object) -> TypeGuard[Sequence[object]]:
    return isinstance(given, Sequence) and not isinstance(given, str)


def _sites(side: str, given: Sites) -> tuple[Site, ...]:
    sites = given if _is_sequence(given) else ["" if given is None else given]
    if not sites:
        raise StillroomError("an empty sequence names no site", where=side, fix="Leave it out for the model's output.")
    return tuple(_site(side, site) for site in sites)


def _site(where: str, given: object) -> Site:
    try:
        site = parse_site(given)
    except StillroomError as error:
        raise error.at(where) from None
    if isinstance(site.recorder, Gradients):
        raise StillroomError(
            "a gradient is there after the backward pass, and a loss is computed before",
            where=where,
            got=str(site),
            fix="Record it on its own: with kd.record(model, name=Gradients(...)).",
        )
    return site


def _expect_mapping(extra: object) -> None:
    if extra is not None and not isinstance(extra, Mapping):
        expected = "a mapping from arguments to sites"
        raise StillroomError("these are no further arguments", where="extra", expected=expected, got=repr(extra))


def _extra(name: str, given: SiteLike | Sequence[SiteLike]) -> Site | tuple[Site, ...]:
    if not _is_sequence(given):
        return _extra_site(name, given)
    if not given:
        raise StillroomError("an empty sequence names no site", where=f"extra.{name}")
    return tuple(_extra_site(name, site) for site in given)


def _extra_site(name: str, given: object) -> Site:
    site = _site(f"extra.{name}", given)
    if site.model is None:
        raise StillroomError(
            "an extra value must say which model it comes from",
            where=f"extra.{name}",
            expected='"student/..." or a teacher\'s name in front ("teacher/..." where there is one)',
            got=repr(str(site)),
            fix='Site(recorder, "student") says it of a recorder.' if isinstance(given, Recorder) else "",
        )
    return site


def _adapter(side: str, given: object, sites: Sites) -> Literal["auto"] | nn.Module | tuple[nn.Module, ...] | None:
    if given == "auto":
        return "auto"
    if given is None or (isinstance(given, nn.Module) and not isinstance(given, nn.ModuleList)):
        return given
    parts: tuple[object, ...] = tuple(given) if _is_sequence(given) or isinstance(given, nn.ModuleList) else ()
    modules = tuple(part for part in parts if isinstance(part, nn.Module))
    if not _is_sequence(sites):
        if modules and len(modules) == len(parts):
            return nn.Sequential(*modules)
        expected = '"auto", a module or a chain of modules'
    else:
        if len(modules) == len(parts) == len(sites):
            return modules
        expected = f'"auto", a module for the tuple, or {len(sites)} modules for the sites'
    raise StillroomError("this is no connector", where=side, expected=expected, got=repr(given))


def _arguments(loss: object, extra: Mapping[str, object]) -> tuple[tuple[str, ...], dict[str, bool]]:
    """Names of the operands (student, teacher), and the context's names with whether each is required."""
    if not isinstance(loss, nn.Module):
        raise StillroomError("a loss is a module", where="loss", expected="an instance of nn.Module", got=repr(loss))
    parameters = inspect.signature(loss.forward).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if unknown := [name for name in extra if name not in parameters and not open_ended]:
        raise StillroomError(
            f"{type(loss).__name__} has no argument {unknown[0]!r}",
            where=f"extra.{unknown[0]}",
            fix=did_you_mean(unknown[0], parameters),
        )
    operands: list[str] = []
    context: dict[str, bool] = {}
    for name, parameter in parameters.items():
        if name in extra or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY or name in CONTEXT or len(operands) == 2:
            context[name] = parameter.default is parameter.empty
        else:
            operands.append(name)
    return tuple(operands), context
