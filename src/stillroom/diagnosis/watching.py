"""What the student has at the sites of the terms, seen beside the distiller, and values in words."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders import Site, Tap, describe, unwrap


@contextmanager
def watched(student: nn.Module, sites: Iterable[Site]) -> Generator[dict[str, Any]]:
    """The values at sites of the student, while it is called inside.

    Args:
        student: called once.
        sites: without a model's name.

    Yields:
        Gets the values by the site's string when the student has run; one that cannot be read is left out.
    """
    values: dict[str, Any] = {}
    chosen = {str(site): site.recorder for site in sites}
    taps: dict[str, Tap] = {}

    def opened(*_: object) -> None:
        for tap in taps.values():
            tap.open()

    def read(*_: object) -> None:
        for tap in reversed(taps.values()):
            tap.stop()
        for key, tap in taps.items():
            with suppress(StillroomError):
                values[key] = chosen[key].choose(tap.close())

    with Patches() as patches:
        # The first hook and the last: what the student's own sites record lies between.
        patches.hook_inputs(unwrap(student), opened)
        for key, recorder in chosen.items():
            taps[key] = recorder.attach(student, patches, copy=True)
        patches.hook_outputs(unwrap(student), read)
        try:
            yield values
        finally:
            for tap in reversed(taps.values()):
                tap.forget()


def shape(value: Any) -> str:
    """The shape of a tensor, or what else it is."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else describe(value)


def batch_size(inputs: Any) -> int:
    """The number of samples: the length of the first tensor; 0 where there is none."""
    leaves: list[Any] = tree_leaves(dict(cast("Mapping[str, Any]", inputs)) if isinstance(inputs, Mapping) else inputs)
    return next((len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()), 0)
