"""Student, teachers and terms: one forward pass gives the output and the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from stillroom.deliveries import Delivery
from stillroom.distillers.arguments import by_name, expect_spelt, named_teachers
from stillroom.distillers.courier import Courier
from stillroom.distillers.distilled import Distilled
from stillroom.distillers.line import STUDENT, Line, Values
from stillroom.distillers.reading import Reading
from stillroom.distillers.scope import naming, untouched
from stillroom.distillers.teacher import Teacher
from stillroom.distillers.term import Term, default_terms
from stillroom.errors import StillroomError
from stillroom.patching import Patches, drop_stand_ins
from stillroom.recorders import Tap, expect_model, unwrap


class Reads(Protocol):
    """What runs a model and records its sites: see :class:`~stillroom.distillers.reading.Reading`."""

    def run(self, inputs: tuple[Any, ...], values: dict[str, Any], couriers: Sequence[Courier] = ()) -> Any: ...


class Distiller(nn.Module):
    """A student, its teachers, and the terms between them.

    ``parameters()`` and ``state_dict()`` hold the student, the connectors and what losses learn, never a teacher.
    Hooks record the sites while the distiller runs and are inert otherwise.

    Args:
        student: the model to train, trained in place.
        teacher: a trained model, several by name (modules, or :class:`Teacher` for options), or None where no term
            reads one. Teachers are frozen: eval mode, no gradients.
        terms: terms by name; None for plain knowledge distillation, ``KLDivergence(tau=4)`` of the two outputs, or for
            none at all where there are deliveries.
        deliveries: by name, what the student takes over from a teacher's forward pass instead of computing it.

    Raises:
        StillroomError: what is no model, term or delivery; a site that does not exist; a term or delivery without a
            teacher; a teacher that shares parameters with the student.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | Mapping[str, nn.Module] | None = None,
        *,
        terms: Mapping[str, Term] | None = None,
        deliveries: Mapping[str, Delivery] | None = None,
    ) -> None:
        super().__init__()
        expect_model(student, "student")
        teachers = named_teachers(teacher)
        self.student = student
        for name, network in teachers.items():
            nothing_shared(student, network, name)
        self.teachers = nn.ModuleDict(
            {name: network if isinstance(network, Teacher) else Teacher(network) for name, network in teachers.items()}
        )
        if terms is None:
            terms = default_terms(delivers=bool(deliveries)) if teachers else {}
        self.terms, self.deliveries = by_name("terms", terms), by_name("deliveries", deliveries)
        self.losses, self.connectors, self.teacher_connectors = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self._lines = [self._line(name, term) for name, term in self.terms.items()]
        self._couriers = [Courier(name, delivery, [*teachers]) for name, delivery in self.deliveries.items()]
        self._patches = Patches()
        self._taps: dict[str, Tap] = {}
        self._taken = {name for term in self.terms.values() for name in term.context}
        self._ready = all(term.connector != "auto" for term in self.terms.values())
        self._examined = False
        self._active: list[tuple[Line, float]] = []
        self._delivering: list[Courier] = []
        self.epoch = self.step = 0
        self._attach()

    def forward(self, *inputs: Any, taught: Values | None = None, **context: Any) -> Distilled:
        """Run the student, and the teachers that active terms need, and compute the terms.

        Args:
            inputs: what the models are called with; a single mapping becomes their keywords.
            taught: what :meth:`teach` returned for these inputs, now or earlier; the teachers are not run then.
            context: what losses need besides, by name: ``labels`` (N,), ``index`` (N,), ...

        Raises:
            StillroomError: ``prepare`` is due; a module did not run; shapes differ; an argument of a loss is missing or
                misspelt; a loss is not finite (on the CPU; elsewhere see :meth:`Distilled.check`). Each names the term.
                Without ``prepare``, at the first call: probabilities stand where a loss reads logits.
        """
        if not self._ready:
            raise _unprepared()
        expect_spelt(context, self._taken)
        compiling = torch.compiler.is_compiling()
        output, values = self._gathered(inputs, taught)
        if not self._examined and not compiling:
            for line, _ in self._active:
                line.expect_logits(values)
            self._examined = True
        losses: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        total: Tensor | None = None
        adapted: dict[tuple[int, str], Any] = {}
        for line, weight in self._active:
            losses[line.name] = loss = line(values, context, adapted)
            weights[line.name] = weight
            weighted = loss * weight
            total = weighted if total is None else total + weighted
        distilled = Distilled(output, losses, self._zero() if total is None else total, weights)
        if distilled.loss.is_cpu and not compiling:
            distilled.check()
        return distilled

    def teach(self, *inputs: Any) -> dict[str, Any]:
        """What the active terms need of the teachers for these inputs, by site: to be passed as ``taught``.

        Raises:
            StillroomError: as of :meth:`forward`.
        """
        if not self._ready:
            raise _unprepared()
        return _taught(self._teaching, inputs)

    def prepare(self, *inputs: Any, **context: Any) -> None:
        """Run one dry batch: find every site, infer connectors, check shapes and values.

        Needed where something is inferred, before the optimizer, DDP and ``torch.compile``; may be called again. It
        leaves parameters, buffers, modes and the random state as they were; but connectors that take something from the
        finished teacher, such as :class:`~stillroom.connectors.OFDMargin`, take it here.

        Args:
            inputs: as of :meth:`forward`.
            context: as of :meth:`forward`; where none is taken by a term, those that need some are not computed.

        Raises:
            StillroomError: as of :meth:`forward`; a model, a connector or a loss fails; probabilities stand where a
                loss reads logits.
        """
        expect_spelt(context, self._taken)
        passed = any(context.get(name) is not None for name in self._taken)
        self._attach()
        networks = {name: unwrap(teacher.network) for name, teacher in self._holders()}
        for line in self._lines:
            line.meet(networks)
        with untouched(self):
            reading, teaching = self._read(self._lines, self._couriers)
            with naming("a teacher"):
                values = _taught(teaching, inputs)
            with naming("the student"):
                reading.run(inputs, values, self._couriers)
            like = next((parameter for parameter in self.student.parameters() if parameter.is_floating_point()), None)
            adapted: dict[tuple[int, str], Any] = {}
            for line in self._lines:
                line.expect_logits(values)
                line.build(values, like)
                if passed or line.can_compute(context):
                    line.rehearse(values, context, adapted)
        self.connectors.update({line.name: line.connector for line in self._lines if line.connector is not None})
        self._ready = self._examined = True

    def at(self, *, epoch: int | None = None, step: int | None = None) -> None:
        """Set the clock of the schedules: the epoch and the optimizer step, both counted from 0."""
        self.epoch = self.epoch if epoch is None else epoch
        self.step = self.step if step is None else step
        weights = [(line, line.term.weight(epoch=self.epoch, step=self.step)) for line in self._lines]
        before = [line for line, _ in self._active]
        self._active = [(line, weight) for line, weight in weights if weight != 0]
        now = [line for line, _ in self._active]
        # What stops with the last term: a delivery without terms never does.
        delivering = self._couriers if now or not self._lines else []
        if now != before or delivering != self._delivering:
            self._delivering = delivering
            self._reading, self._teaching = self._read(now, delivering)

    def teacher_sites(self, term: str) -> list[str]:
        """The keys in what :meth:`teach` returns of the values that this term reads of a teacher."""
        return [str(site) for line in self._lines if line.name == term for site in line.teacher]

    def release(self) -> None:
        """Take every hook off the models. ``prepare`` puts them on again."""
        self._patches.restore()
        self._ready = False

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        """As of any module.

        Raises:
            StillroomError: connectors are still to be inferred, so an optimizer would miss their parameters.
        """
        if any(term.connector == "auto" and name not in self.connectors for name, term in self.terms.items()):
            raise StillroomError(
                'connectors are still to be inferred ("auto")',
                fix="Call distiller.prepare(images) before parameters() and the optimizer.",
            )
        return super().named_parameters(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy brings none of the hooks along: it makes its own, unless the original was released."""
        super().__setstate__(state)
        if self._ready:
            self._attach()

    def _gathered(self, inputs: tuple[Any, ...], taught: Values | None) -> tuple[Any, dict[str, Any]]:
        """The student's output, and the values at all sites of the active terms."""
        values = dict(self.teach(*inputs) if taught is None else taught)
        return self._reading.run(inputs, values, self._delivering), values

    def _line(self, name: str, term: object) -> Line:
        if not name or "." in name or hasattr(nn.ModuleDict(), name):
            raise StillroomError("this cannot be a term's name", where="terms", got=repr(name), fix="Choose another.")
        if not isinstance(term, Term):
            raise StillroomError("this is no term", where=f"terms.{name}", expected="Term(loss, ...)", got=repr(term))
        line = Line(name, term, self.teachers)
        self.losses[name] = term.loss
        if line.connector is not None:
            self.connectors[name] = line.connector
        if line.teacher_connector is not None:
            self.teacher_connectors[name] = line.teacher_connector
        return line

    def _attach(self) -> None:
        """Find every site, and read from now on those of the active terms."""
        self._watch()
        self._active, self._delivering = [], []
        self._reading, self._teaching = self._read([], [])
        self.at()

    def _watch(self) -> None:
        """Put a tap on every site, in place of those that were there."""
        self._patches.restore()
        models = {STUDENT: self.student} | {name: teacher.network for name, teacher in self._holders()}
        for model in models.values():
            drop_stand_ins(model)
        self._taps = {}
        for where, site in (pair for line in self._lines for pair in line.sites()):
            if str(site) not in self._taps and not site.is_output:
                try:
                    self._taps[str(site)] = tap = site.recorder.attach(models[str(site.model)], self._patches)
                    tap.differentiable = site.model == STUDENT
                except StillroomError as error:
                    self._patches.restore()
                    raise error.at(where) from None
        for courier in self._couriers:
            try:
                courier.attach(self.student, models[courier.teacher], self._patches)
            except StillroomError:
                self._patches.restore()
                raise

    def _read(self, lines: list[Line], couriers: list[Courier]) -> tuple[Reads, Sequence[Reads]]:
        """What these terms read of the student, and of each teacher that they or the couriers need."""
        teaching = [Reading(name, teacher, lines, self._taps, couriers) for name, teacher in self._holders()]
        return Reading(STUDENT, self.student, lines, self._taps), [reading for reading in teaching if reading]

    def _holders(self) -> list[tuple[str, Teacher]]:
        return [(name, cast("Teacher", holder)) for name, holder in self.teachers.items()]

    def _zero(self) -> Tensor:
        return torch.zeros((), device=next((p.device for p in self.student.parameters()), None))


def _taught(teaching: Sequence[Reads], inputs: tuple[Any, ...]) -> dict[str, Any]:
    taught: dict[str, Any] = {}
    for reading in teaching:
        reading.run(inputs, taught)
    return taught


def _unprepared() -> StillroomError:
    return StillroomError(
        "the distiller is not prepared", fix="Call distiller.prepare(images) once, before making the optimizer."
    )


def nothing_shared(student: nn.Module, teacher: nn.Module, name: str) -> None:
    """Refuse a student and a teacher with parameters in common."""
    network = teacher.network if isinstance(teacher, Teacher) else teacher
    inner, own = unwrap(network), {id(parameter) for parameter in student.parameters()}
    shared = [path for path, parameter in inner.named_parameters() if id(parameter) in own]
    if inner is unwrap(student) or shared:
        what = f"{len(shared)} parameter(s), the first {shared[0]!r}" if shared else "the same object"
        raise StillroomError(
            "student and teacher share what one trains and the other must freeze",
            where=name,
            got=what,
            fix="Give the teacher a copy: copy.deepcopy(model).",
        )
