"""A distiller that computes one program instead of running models under hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from stillroom.deliveries import Delivery
from stillroom.distillers.courier import Courier
from stillroom.distillers.distiller import Distiller
from stillroom.distillers.line import STUDENT, Line, Values
from stillroom.distillers.teacher import Teacher, call
from stillroom.distillers.term import Term
from stillroom.errors import StillroomError
from stillroom.programs.merge import merged
from stillroom.programs.program import Program
from stillroom.programs.reading import Place, ProgramReading, StudentReading, placed
from stillroom.programs.trace import trace, traced
from stillroom.recorders import Parameter, Site, Submodule, unwrap


class ProgramDistiller(Distiller):
    """As :class:`~stillroom.Distiller`, on one program of the student and its teachers.

    What no active term needs of a teacher is not computed; the student's output always is. Sites may also be names of
    tensors, such as ``"layer1.0.add"``. There are no deliveries, and no recorders but those of modules and parameters.

    Args:
        student, teacher: as of :class:`~stillroom.Distiller`; traced once, as they are now.
        example: inputs of the models, as of :func:`stillroom.programs.trace`.
        terms: as of :class:`~stillroom.Distiller`.
        deliveries: None.

    Raises:
        StillroomError: as of :class:`~stillroom.Distiller`; a model cannot be traced, a site not be read.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | Mapping[str, nn.Module] | None,
        *example: Any,
        terms: Mapping[str, Term] | None = None,
        deliveries: Mapping[str, Delivery] | None = None,
    ) -> None:
        if deliveries:
            raise StillroomError(
                "a program has no deliveries",
                where="deliveries",
                got=", ".join(map(repr, deliveries)),
                fix="Distiller(student, teacher, deliveries=...) makes them through hooks.",
            )
        if isinstance(student, nn.parallel.DistributedDataParallel):
            raise StillroomError(
                "a program would go past the wrapper of the student",
                got=type(student).__name__,
                fix="Wrap the distiller: DistributedDataParallel(distiller).",
            )
        self._example = example
        super().__init__(student, teacher, terms=terms)
        del self._example

    program: Program
    _places: dict[str, Place]

    def _watch(self) -> None:
        if "program" not in vars(self):
            program = self._merged(self._example)
            # Registered it would bring the student into state_dict() twice; of what it holds only constants move.
            object.__setattr__(self, "program", program)
            self.constants = program.constants
        self._places = {}
        for where, site in (pair for line in self._lines for pair in line.sites()):
            if str(site) not in self._places:
                try:
                    self._places[str(site)] = self._place(where, site)
                except StillroomError as error:
                    raise error.at(where) from None

    def _read(self, lines: list[Line], couriers: list[Courier]) -> tuple[StudentReading, Sequence[ProgramReading]]:
        keys = dict.fromkeys(str(site) for line in lines for _, site in line.sites())
        places = [self._places[key] for key in keys]
        own, taught = ([p for p in places if (p.site.model == STUDENT) is ours] for ours in (True, False))
        reading = StudentReading(self.program, own, output=True)
        reading.together = ProgramReading(self.program, places, output=True) if taught else reading
        return reading, [ProgramReading(self.program, taught, output=False)] if taught else []

    def _gathered(self, inputs: tuple[Any, ...], taught: Values | None) -> tuple[Any, dict[str, Any]]:
        if taught is not None:
            return super()._gathered(inputs, taught)
        values: dict[str, Any] = {}
        return cast("StudentReading", self._reading).together.run(inputs, values), values

    def _place(self, where: str, site: Site) -> Place:
        recorder, name = site.recorder, str(site.model)
        prefix = "" if name == STUDENT else f"{name}/"
        if isinstance(recorder, Parameter | Submodule):
            model = self.student if name == STUDENT else cast("Teacher", self.teachers[name]).network
            return Place(where, site, tap=recorder.attach(model, self._patches))
        if site.is_output:
            return Place(where, site, self.program.plan.outputs[prefix], recorder.items)
        return Place(where, site, *placed(self.program.plan, recorder, prefix))

    def _merged(self, example: tuple[Any, ...]) -> Program:
        program = trace(self.student, *example)
        names = list(program.inputs)
        for name, holder in self._holders():
            try:
                taught = traced(unwrap(holder.network), _answer(holder, example), names, example)
                program = merged(
                    taught, program, holder, inputs=dict(zip(names, names, strict=True)), prefix=f"{name}/"
                )
            except StillroomError as error:
                raise error.at(name) from None
        return program


def _answer(holder: Teacher, example: tuple[Any, ...]) -> Any:
    """What a teacher says to inputs, without the guards that have no place in a program."""
    keyed = len(example) == 1 and isinstance(example[0], Mapping)

    def answer(given: list[Any]) -> Any:
        inputs: tuple[Any, ...] = (dict(zip(example[0], given, strict=True)),) if keyed else tuple(given)
        if holder.transform is not None:
            changed = holder.transform(*inputs)
            inputs = cast("tuple[Any, ...]", changed) if isinstance(changed, tuple) else (changed,)
        return holder.mapped(call(holder.network, inputs))

    return answer


def distiller(
    student: nn.Module,
    teacher: nn.Module | Mapping[str, nn.Module] | None,
    *example: Any,
    terms: Mapping[str, Term] | None = None,
    deliveries: Mapping[str, Delivery] | None = None,
) -> ProgramDistiller:
    """A distiller on one traced program: see :class:`ProgramDistiller`."""
    return ProgramDistiller(student, teacher, *example, terms=terms, deliveries=deliveries)
