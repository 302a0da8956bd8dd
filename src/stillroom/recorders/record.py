"""Recording as a context manager: recorders on their own, for analysis and visualisation."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders.modules import expect_model
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.site import Site, parse_site
from stillroom.recorders.tap import Tap


class Recorded(Mapping[str, Any]):
    """What the recorders saw, by the name given to each; a value is looked up when it is asked for."""

    def __init__(self, taps: dict[str, tuple[Recorder, Tap]]) -> None:
        self._taps = taps

    def __getitem__(self, name: str) -> Any:
        recorder, tap = self._taps[name]
        try:
            return recorder.choose(tap.calls, fix=tap.blind_spot)
        except StillroomError as error:
            raise error.at(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._taps)

    def __len__(self) -> int:
        return len(self._taps)


@contextmanager
def record(model: nn.Module, /, **sites: str | Recorder) -> Generator[Recorded, None, None]:
    """Record values of a model while it runs; the model is untouched afterwards, also when it raised.

    >>> with kd.record(model, feature="layer4", logits="fc") as seen:
    ...     model(images)
    >>> seen["feature"].shape

    Every value is a copy, so that in-place operations of the model cannot change it; gradients flow through it. What
    other threads do meanwhile is not recorded.

    Args:
        model: any module.
        sites: a site string or a recorder by the name under which its value is wanted. A module that runs several
            times, in one call of the model or in many, needs ``@call`` to say which.

    Yields:
        A mapping from the names to the values, to be read after the model has run, inside the block or after it.

    Raises:
        StillroomError: this is no model, or there is no such site in it; when a value is read: its module never ran, or
            ran more often than the site says.
    """
    expect_model(model, "model")
    taps: dict[str, tuple[Recorder, Tap]] = {}
    with Patches() as patches, ExitStack() as stack:
        for name, site in sites.items():
            try:
                recorder = _of_this_model(parse_site(site))
                taps[name] = recorder, recorder.attach(model, patches, copy=True)
            except StillroomError as error:
                raise error.at(name) from None
        for _, tap in taps.values():
            tap.open()
            stack.callback(tap.stop)
        yield Recorded(taps)


def _of_this_model(site: Site) -> Recorder:
    if site.model is not None:
        raise StillroomError(
            "a site has no model's name in front here", got=repr(str(site)), fix="Record one model at a time."
        )
    return site.recorder
