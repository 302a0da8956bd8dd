"""Site strings: ``[teacher/]path[:input|:output][@call][item]...``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stillroom.errors import StillroomError
from stillroom.recorders.items import Item
from stillroom.recorders.modules import ModuleInputs, ModuleOutputs
from stillroom.recorders.recorder import Recorder

_SITE = re.compile(
    r"(?:(?P<model>[^/@:\[\]]+)/)?(?P<path>[^/@:\[\]]*)(?::(?P<side>input|output))?(?:@(?P<call>-?\d+))?(?P<items>(?:\[[^\[\]]+\])*)"
)


@dataclass(frozen=True)
class Site:
    """A recorder, and the model that it reads.

    Args:
        recorder: what is read.
        model: ``"student"``, a teacher's name, or None where the place of the string decides.
    """

    recorder: Recorder
    model: str | None = None

    @property
    def is_output(self) -> bool:
        """Whether this is (an item of) what the model itself returns when it is called once."""
        return self.recorder.path == "" and isinstance(self.recorder, ModuleOutputs) and not self.recorder.call

    def __str__(self) -> str:
        return str(self.recorder) if self.model is None else f"{self.model}/{self.recorder}"


def parse_site(text: object) -> Site:
    """A site from its string; a recorder object is taken as it is.

    ``"layer4.1"`` is that module's output, ``"layer4.1:input"`` its input, ``"head@1"`` its second call, ``"head[0]"``
    an item of it, ``"[logits]"`` an item of the model's own output, ``"big/layer4"`` in the teacher named big.

    Args:
        text: a string, a recorder or a site.

    Raises:
        StillroomError: it is none of these, or the string is no site.
    """
    if isinstance(text, Site):
        return text
    if isinstance(text, Recorder):
        return Site(text)
    match = _SITE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise StillroomError(
            "this is no site", expected="[teacher/]path[:input|:output][@call][item]...", got=repr(text)
        )
    kind = ModuleInputs if match["side"] == "input" else ModuleOutputs
    call = None if match["call"] is None else int(match["call"])
    items: tuple[Item, ...] = tuple(
        int(item) if re.fullmatch(r"-?\d+", item) else item for item in re.findall(r"\[([^\[\]]+)\]", match["items"])
    )
    return Site(kind(match["path"], call=call, items=items), match["model"])
