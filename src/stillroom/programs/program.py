"""The traced computation of a model, or of a student with its teachers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from torch import fx, nn

from stillroom.distillers.teacher import Teacher
from stillroom.errors import StillroomError, did_you_mean
from stillroom.losses import FSP, L2, SoftLabel
from stillroom.programs.code import Constants, written
from stillroom.programs.objective import Computed, Names, objective
from stillroom.programs.operation import TensorInfo, filled, refs
from stillroom.programs.plan import Plan


class Pruned(NamedTuple):
    """What a program no longer computes.

    Attributes:
        operations: how many went.
        multiply_adds: of these, forward, for the example inputs.
    """

    operations: int
    multiply_adds: int


class Program(nn.Module):
    """A model's computation as a list of operations with names, as :func:`stillroom.programs.trace` makes it.

    It computes with the modules, parameters and buffers of the model itself, which it looks up when it runs: training
    the program trains the model, and what is put in place of a module or a tensor is used from then on. What the trace
    met as a plain value of Python (an attribute that is a number, the length of a list) stays as it was then.

    Args:
        plan: what is computed.
        model: the user's own.
        constants: tensors in the computation that are no parameter and no buffer.
        teachers: by the prefix of their operations.
        losses: by name.
        wanted: the operations whose values a call returns, by the name under which it does; None for every tensor.
        pruned: what was left out before.
    """

    def __init__(
        self,
        plan: Plan,
        model: nn.Module,
        constants: Constants,
        *,
        teachers: Mapping[str, nn.Module] | None = None,
        losses: Mapping[str, nn.Module] | None = None,
        wanted: Mapping[str, str] | None = None,
        pruned: Pruned | None = None,
    ) -> None:
        super().__init__()
        everything = [*plan.tensors, *refs(plan.output)]
        self.plan, self.pruned = plan, pruned or Pruned(0, 0)
        self.model, self.constants = model, constants
        self.teachers, self.losses = nn.ModuleDict(teachers), nn.ModuleDict(losses)
        self.wanted = dict(zip(everything, everything, strict=True)) if wanted is None else dict(wanted)
        self._write()

    plan: Plan
    wanted: dict[str, str]
    pruned: Pruned
    _code: fx.GraphModule

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order in which a call takes them."""
        return tuple(self.plan.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors in the model's own output, in order; of several models the student's."""
        return tuple(name for name in refs(self.plan.output) if self.plan.is_tensor(name))

    def tensors(self) -> list[TensorInfo]:
        """Every tensor, in the order in which they are made, the inputs first."""
        infos = [operation.tensor for operation in self.plan.operations if operation.tensor is not None]
        return [info for info in infos if info.operation == "input"] + [i for i in infos if i.operation != "input"]

    def forward(self, *inputs: Any) -> dict[str, Any]:
        """Compute what is kept.

        Args:
            inputs: as many tensors as ``inputs`` has names, or a single mapping from these names.

        Returns:
            The values by name, each as it was when it was made, whatever overwrites it later.

        Raises:
            StillroomError: an input is missing or unknown; a teacher was put into train mode.
        """
        for teacher in self.teachers.values():
            cast("Teacher", teacher).expect_frozen()
        return self._code.forward(*self._in_order(inputs))

    def output(self, values: Mapping[str, Any]) -> Any:
        """What the model itself returns, in the form in which it does.

        Args:
            values: what a call of this program returned.

        Raises:
            StillroomError: a part of it was not kept.
        """
        if missing := [name for name in refs(self.plan.output) if name not in values]:
            raise StillroomError(
                f"the output's {missing[0]!r} is not among the values", fix="Keep program.outputs as well."
            )
        return filled(self.plan.output, values)

    def keep(self, names: Iterable[str]) -> Program:
        """A program that computes these tensors and no more than they need.

        A BatchNorm that feeds nothing that is kept does not run, so its statistics stand still.

        Args:
            names: of tensors, or paths of modules that return one tensor in one call.

        Raises:
            StillroomError: there is no such tensor; names the nearest.
        """
        if isinstance(names, str):
            raise StillroomError("keep takes a list of names", got=repr(names))
        return self.computing({name: self.plan.find(name) for name in names})

    def computing(self, wanted: Mapping[str, str]) -> Program:
        """A program that computes these operations, returned under these names, and no more than they need."""
        plan = self.plan.only(wanted.values())
        left = {operation.name for operation in plan.operations}
        gone = [operation.multiply_adds for operation in self.plan.operations if operation.name not in left]
        return Program(
            plan,
            self.model,
            self.constants,
            teachers=dict(self.teachers.items()),
            losses={name: loss for name, loss in self.losses.items() if name in left},
            wanted=wanted,
            pruned=Pruned(self.pruned.operations + len(gone), self.pruned.multiply_adds + sum(gone)),
        )

    def l2(self, teacher: str, student: str) -> str:
        """Add the mean squared difference of two tensors: see :class:`~stillroom.losses.L2`.

        Args:
            teacher, student: names of tensors of one shape.

        Returns:
            The name of the loss, a tensor of this program.

        Raises:
            StillroomError: there is no such tensor, the first is not a teacher's, the second is, or shapes differ.
        """
        return self._add("l2", L2(), {"teacher": self._taught(teacher), "student": self._own(student)})

    def fsp(self, *names: str | tuple[str, str]) -> str:
        """Add the loss on how features flow between two places: see :class:`~stillroom.losses.FSP`.

        Args:
            names: ``(teacher_1, teacher_2), (student_1, student_2)``, or these four in a row.

        Returns, Raises:
            As of :meth:`l2`.
        """
        flat = [name for pair in names for name in ((pair,) if isinstance(pair, str) else pair)]
        if len(flat) != 4:
            raise StillroomError("fsp takes two tensors of a teacher and two of the student", got=f"{len(flat)} names")
        taught, own = [self._taught(name) for name in flat[:2]], [self._own(name) for name in flat[2:]]
        return self._add("fsp", FSP(), {"teacher": tuple(taught), "student": tuple(own)})

    def soft_label(
        self, teacher: str, student: str, *, teacher_temperature: float = 1.0, student_temperature: float = 1.0
    ) -> str:
        """Add the cross entropy with the teacher's probabilities: see :class:`~stillroom.losses.SoftLabel`.

        Args:
            teacher, student: names of logits of one shape.
            teacher_temperature, student_temperature: above 0.

        Returns, Raises:
            As of :meth:`l2`.
        """
        loss = SoftLabel(teacher_temperature=teacher_temperature, student_temperature=student_temperature)
        return self._add("soft_label", loss, {"teacher": self._taught(teacher), "student": self._own(student)})

    def loss(self, fn: Callable[..., Any], **names: str) -> str:
        """Add a loss of one's own.

        Args:
            fn: takes tensors by keyword and returns a scalar; the parameters of a module belong to the program.
            names: a tensor for each of its arguments.

        Returns:
            The name of the loss, a tensor of this program.

        Raises:
            StillroomError: there is no such tensor, the function fails on these shapes, or returns no scalar.
        """
        return self._add("loss", fn, {argument: self.plan.find(name) for argument, name in names.items()})

    def __getstate__(self) -> dict[str, Any]:
        """Without the code, which a copy writes for its own models."""
        return {name: value for name, value in vars(self).items() if name != "_code"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._write()

    def _write(self) -> None:
        models = {"": self.model} | {prefix: cast("Teacher", held).network for prefix, held in self.teachers.items()}
        code = written(self.plan.operations, self.wanted, models, self.constants, self.losses)
        # An ordinary attribute: registered, it would bring the teachers into parameters().
        object.__setattr__(self, "_code", code)

    def _in_order(self, inputs: tuple[Any, ...]) -> list[Any]:
        names = self.inputs
        if len(inputs) != 1 or not isinstance(inputs[0], Mapping):
            if len(inputs) != len(names):
                raise StillroomError("inputs are missing or too many", expected=", ".join(names), got=len(inputs))
            return list(inputs)
        given = cast("Mapping[str, Any]", inputs[0])
        if unknown := [name for name in given if name not in names]:
            raise StillroomError(f"there is no input {unknown[0]!r}", fix=did_you_mean(unknown[0], names))
        if missing := [name for name in names if name not in given]:
            raise StillroomError(f"the input {missing[0]!r} is missing", got=", ".join(given))
        return [given[name] for name in names]

    def _add(self, word: str, loss: Callable[..., Any], arguments: Mapping[str, Names]) -> str:
        count = 0
        while (name := f"{word}_{count}" if count else word) in self.plan.by_name or name in self.plan.calls:
            count += 1
        module = loss if isinstance(loss, nn.Module) else Computed(loss)
        operation = objective(name, module, arguments, self.plan.by_name)
        self.plan = replace(self.plan, operations=(*self.plan.operations, operation))
        self.losses[name], self.wanted[name] = module, name
        self._write()
        return name

    def _taught(self, name: str) -> str:
        found = self.plan.find(name)
        if not self.plan.by_name[found].model:
            prefixes = " or ".join(map(repr, self.teachers)) or "the prefix of a teacher"
            raise StillroomError(
                "the teacher's tensor comes first, and this is the student's",
                expected=f"a name that starts with {prefixes}",
                got=repr(name),
            )
        return found

    def _own(self, name: str) -> str:
        found = self.plan.find(name)
        if prefix := self.plan.by_name[found].model:
            raise StillroomError(
                "the student's tensor comes second, and this is a teacher's",
                expected=f"a name that does not start with {prefix!r}",
                got=repr(name),
            )
        return found
