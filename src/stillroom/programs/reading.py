"""What a distiller reads of a program in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillroom.distillers.courier import Courier
from stillroom.errors import StillroomError
from stillroom.programs.operation import Ref, filled, refs
from stillroom.programs.plan import Plan
from stillroom.programs.program import Program
from stillroom.recorders import Item, ModuleInputs, ModuleOutputs, Recorder, Site, Tap, pick


@dataclass(frozen=True)
class Place:
    """Where a site is in a program.

    Attributes:
        where: the key under which an error speaks of it.
        site: with its model.
        structure: of its value, with a :class:`Ref` for each operation's value.
        items: what to pick of it.
        tap: for what is no value of the computation, in place of these.
    """

    where: str
    site: Site
    structure: Any = None
    items: tuple[Item, ...] = ()
    tap: Tap | None = None

    def value(self, values: dict[str, Any]) -> Any:
        try:
            if self.tap is not None:
                self.tap.open()
                return self.site.recorder.choose(self.tap.close())
            return pick(filled(self.structure, values), self.items)
        except StillroomError as error:
            raise error.at(self.where) from None


class ProgramReading:
    """Runs the part of a program that gives the values at some places.

    Args:
        program: of which a part is taken.
        places: of the sites.
        output: whether the student's output is wanted too.
    """

    def __init__(self, program: Program, places: Iterable[Place], *, output: bool) -> None:
        self._places = {str(place.site): place for place in places}
        self._output = program.plan.output if output else None
        needed = [name for place in self._places.values() for name in refs(place.structure)]
        wanted = dict.fromkeys([*needed, *refs(self._output)])
        self.program = program.computing({name: name for name in wanted})

    def run(self, inputs: tuple[Any, ...], values: dict[str, Any], couriers: Sequence[Courier] = ()) -> Any:
        """As of :class:`~stillroom.distillers.reading.Reading`; nothing is ever delivered."""
        made = self.program(*inputs)
        for key, place in self._places.items():
            values[key] = place.value(made)
        return filled(self._output, made)


class StudentReading(ProgramReading):
    """Reads the student alone.

    Attributes:
        together: reads the teachers as well, in the same run.
    """

    together: ProgramReading


def placed(plan: Plan, recorder: Recorder, prefix: str) -> tuple[Any, tuple[Item, ...]]:
    """Where a recorder's value is among the operations, and what to pick of it.

    Args:
        plan: of the program.
        recorder: of a module, or of the name of a tensor.
        prefix: of the model's names.

    Raises:
        StillroomError: it is nowhere, or cannot be read from a program.
    """
    if not isinstance(recorder, ModuleOutputs | ModuleInputs):
        raise StillroomError(
            f"a program does not record {type(recorder).__name__}",
            expected="a module, a tensor of the program or a Parameter",
            got=repr(str(recorder)),
            fix="Distiller(student, teacher, terms=...) records it through hooks.",
        )
    name = prefix + recorder.path
    if calls := plan.calls.get(name, ()):
        structures = [call.inputs if isinstance(recorder, ModuleInputs) else call.output for call in calls]
        return replace(recorder, items=()).choose(structures), recorder.items
    if isinstance(recorder, ModuleOutputs) and recorder.call is None:
        item = "".join(f"[{item}]" for item in recorder.items)
        for known, items in ((name + item, ()), (name, recorder.items)):
            if known in plan.by_name:
                return Ref(known), items
    raise plan.unknown(name)
