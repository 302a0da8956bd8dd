"""What is recorded of one model in one forward pass."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.distillers.courier import Courier
from stillroom.distillers.line import Line
from stillroom.distillers.scope import untouched
from stillroom.distillers.teacher import Teacher, call
from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches, torch_calls
from stillroom.recorders import HookTap, NeverCalledError, Site, Tap, changed, pick, unwrap


class _UnreadError(Exception):
    """A site has no value; what to say of it is found out when nothing is delivered any more.

    Args:
        error: what is wrong.
        key: the site's full name.
    """

    def __init__(self, error: StillroomError, key: str) -> None:
        super().__init__(error)
        self.error, self.key = error, key


class _EnoughError(BaseException):
    """Nothing more is wanted of this pass; no code of a model may take it for a failure of its own."""


class Reading:
    """The sites of some terms in one model, and what is delivered from it.

    A teacher of which nothing but inner sites is wanted runs as a whole once, and from then on to the deepest of them.

    Args:
        name: the model's name in site strings.
        model: the student, or the holder of a teacher.
        lines: the terms.
        taps: the tap of every site that is not the model's own output, by the site's full name.
        couriers: those that collect here; none for the student.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        lines: Iterable[Line],
        taps: Mapping[str, Tap],
        couriers: Iterable[Courier] = (),
    ) -> None:
        self._name, self._model = name, model
        self._teaches = isinstance(model, Teacher)
        self._where: dict[str, tuple[str, Site]] = {}
        for line in lines:
            for where, site in line.sites():
                if site.model == name:
                    self._where.setdefault(str(site), (where, site))
        self._taps = [(key, site.recorder, taps[key]) for key, (_, site) in self._where.items() if key in taps]
        # Values of modules that run once, whole: most are, and every step asks.
        self._plain = {key for key, recorder, _ in self._taps if recorder.call is None and not recorder.items}
        self._outputs = [(key, site.recorder.items) for key, (_, site) in self._where.items() if key not in taps]
        self._couriers = [courier for courier in couriers if courier.teacher == name]
        self._open = [*(courier.tap for courier in self._couriers), *(tap for _, _, tap in self._taps)]
        self._hooks = [(tap, recorder.call or 0) for _, recorder, tap in self._taps if isinstance(tap, HookTap)]
        # A last call (-1) is known to be the last when the model has ended.
        known = self._hooks and all(call >= 0 for _, call in self._hooks)
        self._stops = self._teaches and known and not self._outputs and not self._couriers
        self._seen, self._missing = False, 0

    def __bool__(self) -> bool:
        return bool(self._where or self._couriers)

    def run(self, inputs: tuple[Any, ...], values: dict[str, Any], couriers: Sequence[Courier] = ()) -> Any:
        """Call the model.

        Args:
            inputs: of the model.
            values: gets what is recorded, by the full name of its site, and what is collected, by its delivery.
            couriers: those that hand over here what ``values`` holds for them.

        Returns:
            The model's output.

        Raises:
            StillroomError: a site has no value, or not this item; names the term and, for a module that did not run,
                the nearest ones that did. The model makes more or fewer calls than were delivered to.
        """
        try:
            if not couriers:
                return self._run(inputs, values)
            with _delivering(couriers, values):
                return self._run(inputs, values)
        except _UnreadError as unread:
            raise self._explained(unread.error, unread.key, inputs, values, couriers) from None

    def _run(self, inputs: tuple[Any, ...], values: dict[str, Any]) -> Any:
        compiling = torch.compiler.is_compiling()
        try:
            for tap in self._open:
                tap.open(compiling=compiling)
            before = [] if compiling else _versions(inputs)
            output = self._taught(inputs) if self._teaches and not compiling else call(self._model, inputs)
            for tap in reversed(self._open):
                tap.stop()
            for tensor, version in before:
                if tensor._version != version:
                    _expect_whole(values, tensor)
            self._collect(values, output)
            if self._teaches and not compiling:
                self._wake(values)
                self._seen = True
        except BaseException:
            for tap in reversed(self._open):
                tap.forget()
            raise
        return output

    def _collect(self, values: dict[str, Any], output: Any) -> None:
        key = ""
        try:
            for key, recorder, tap in self._taps:
                calls = tap.close()
                values[key] = calls[0] if len(calls) == 1 and key in self._plain else recorder.choose(calls)
            for key, items in self._outputs:
                values[key] = pick(output, items) if items else output
        except StillroomError as error:
            raise _UnreadError(error, key) from None
        for courier in self._couriers:
            values[courier.key] = courier.collected()

    def _taught(self, inputs: tuple[Any, ...]) -> Any:
        """The teacher's output; None where it was stopped when everything had been seen."""
        stops = self._stops and self._seen
        self._missing = len(self._hooks)
        for tap, which in self._hooks:
            tap.told = (which, self._one_less) if stops else None
        try:
            return call(self._model, inputs)
        except _EnoughError:
            return None
        except StillroomError as error:
            raise error.at(self._name) from error.__cause__

    def _wake(self, values: dict[str, Any]) -> None:
        """What a teacher returned whose own code says inference_mode: no loss can be computed with it as it is."""
        if torch.is_inference_mode_enabled():
            return
        for key in self._where:
            value = values[key]
            if not isinstance(value, Tensor) or value.is_inference():
                values[key] = changed(value, _awake)

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            raise _EnoughError

    def _explained(
        self,
        error: StillroomError,
        key: str,
        inputs: tuple[Any, ...],
        values: Mapping[str, Any],
        couriers: Sequence[Courier],
    ) -> StillroomError:
        """The error with the term's name; for what did not run, another pass finds the nearest that did."""
        where, site = self._where[key]
        if not isinstance(error, NeverCalledError):
            return error.at(where)
        tap = next(tap for name, _, tap in self._taps if name == key)
        network = unwrap(self._model.network if isinstance(self._model, Teacher) else self._model)
        ran: list[str] = []
        with untouched(network), _delivering(couriers, values), Patches() as patches:
            if tap.blind_spot:
                with torch_calls(ran.append):
                    call(self._model, inputs)
            else:
                for path, module in network.named_modules():
                    if path:
                        patches.hook_outputs(module, lambda *_, path=path: ran.append(path))
                call(self._model, inputs)
        path = site.recorder.path
        fix = tap.blind_spot
        if not fix and (not ran or path in ran):  # it runs, but the hooks came too late for a graph already compiled
            fix = "Compiled code ignores hooks made after it: compile the distiller, not the models in it."
        elif not fix or path.startswith("torch."):
            fix = f"{fix} {did_you_mean(path, dict.fromkeys(ran), else_all='These were')}".lstrip()
        return StillroomError(error.problem, where=where, fix=fix)


@contextmanager
def _delivering(couriers: Sequence[Courier], values: Mapping[str, Any]) -> Generator[None, None, None]:
    with ExitStack() as stack:
        for courier in couriers:
            stack.enter_context(courier.delivering(values))
        yield


def _versions(inputs: tuple[Any, ...]) -> list[tuple[Tensor, int]]:
    """The tensors among a model's inputs, and how often each was changed in place until now."""
    given: Iterable[Any] = inputs
    if len(inputs) == 1 and not isinstance(inputs[0], Tensor) and isinstance(inputs[0], Mapping):
        given = inputs[0].values()
    return [(value, value._version) for value in given if isinstance(value, Tensor) and not value.is_inference()]


def _expect_whole(values: Mapping[str, Any], spoilt: Tensor) -> None:
    """Refuse a model that overwrites its input where what was recorded of another, by reference, is that input."""
    place = spoilt.untyped_storage().data_ptr()
    for key, recorded in values.items():

        def expect(tensor: Tensor, key: str = key) -> Tensor:
            if tensor.untyped_storage().data_ptr() == place:
                raise StillroomError(
                    f"the model that runs after it changes the input in place, of which {key!r} is a part",
                    fix="Let its first operation be one that is not in place.",
                )
            return tensor

        changed(recorded, expect)


def _awake(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor
