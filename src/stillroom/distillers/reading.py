"""What is recorded of one model in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from stillroom.distillers.line import Line
from stillroom.distillers.scope import untouched
from stillroom.distillers.teacher import Teacher, call
from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches
from stillroom.recorders import NeverCalledError, Site, Tap, chosen, pick, unwrap


class Reading:
    """The sites of some terms in one model.

    Args:
        name: the model's name in site strings.
        model: the student, or the holder of a teacher.
        lines: the terms.
        taps: the tap of every site that is not the model's own output, by the site's full name.
    """

    def __init__(self, name: str, model: nn.Module, lines: Iterable[Line], taps: Mapping[str, Tap]) -> None:
        self._model = model
        self._where: dict[str, tuple[str, Site]] = {}
        for line in lines:
            for where, site in line.sites():
                if site.model == name:
                    self._where.setdefault(str(site), (where, site))
        self._taps = [(key, site.recorder, taps[key]) for key, (_, site) in self._where.items() if key in taps]
        # Values of modules that run once, whole: most are, and every step asks.
        self._plain = {key for key, recorder, _ in self._taps if recorder.call is None and not recorder.items}
        self._outputs = [(key, site.recorder.items) for key, (_, site) in self._where.items() if key not in taps]

    def __bool__(self) -> bool:
        return bool(self._where)

    def run(self, inputs: tuple[Any, ...], values: dict[str, Any]) -> Any:
        """Call the model.

        Args:
            inputs: of the model.
            values: gets what is recorded, by the full name of its site.

        Returns:
            The model's output.

        Raises:
            StillroomError: a site has no value, or not this item; names the term and, for a module that did not run,
                the nearest ones that did.
        """
        key: str | None = None
        for _, _, tap in self._taps:
            tap.open()
        try:
            output = call(self._model, inputs)
            for key, recorder, tap in self._taps:
                calls = tap.close()
                values[key] = calls[0] if len(calls) == 1 and key in self._plain else chosen(recorder, calls)
            for key, items in self._outputs:
                values[key] = pick(output, items) if items else output
        except BaseException as error:
            for _, _, tap in self._taps:
                tap.forget()
            if key is None or not isinstance(error, StillroomError):
                raise
            raise self._explained(error, key, inputs) from None
        return output

    def _explained(self, error: StillroomError, key: str, inputs: tuple[Any, ...]) -> StillroomError:
        """The error with the term's name; for a module that did not run, another pass finds the nearest that did."""
        where, site = self._where[key]
        if not isinstance(error, NeverCalledError):
            return error.at(where)
        ran: list[str] = []
        network = unwrap(self._model.network if isinstance(self._model, Teacher) else self._model)
        with untouched(network), Patches() as patches:
            for path, module in network.named_modules():
                if path:
                    patches.hook_outputs(module, lambda *_, path=path: ran.append(path))
            call(self._model, inputs)
        if not ran or site.recorder.path in ran:  # it runs, but the hooks came too late for a graph already compiled
            fix = "Compiled code ignores hooks made after it: compile the distiller, not the models in it."
        else:
            fix = f"Of those that were: {did_you_mean(site.recorder.path, dict.fromkeys(ran))}"
        return StillroomError(error.problem, where=where, fix=fix)
