"""The stages of a model: what it has made of the image before each halving, or on its way through equal blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import nn

from stillroom.diagnosis.layout import Layout, Shape
from stillroom.diagnosis.survey import IDLE, Seen, Survey, survey
from stillroom.errors import StillroomError

MOST = 4
"""Stages that are paired; those with the smallest maps where there are more."""
PLATEAU = 4
"""So many equal blocks make a model of one resolution."""


@dataclass(frozen=True)
class Stage:
    """A place of a model that is worth comparing.

    Attributes:
        site: as it is written in a term; ``""`` for the model's own output.
        kind: class of the module.
        shape: of its value for the batch.
        layout: what its axes mean.
        signed: whether the value has numbers below 0.
        last: class of the last module inside that did something.
    """

    site: str
    kind: str
    shape: Shape
    layout: Layout
    signed: bool
    last: str


@dataclass(frozen=True)
class Anatomy:
    """The stages of a model.

    Attributes:
        name: class of the model.
        stages: one for each stride, from the smallest on.
        blocks: of a model of one resolution, such as a vision transformer, the equal blocks in the order in which they
            ran; of any other none.
    """

    name: str
    stages: list[Stage]
    blocks: list[Stage]

    def chosen(self, count: int = MOST) -> list[Stage]:
        """So many stages at equal distances in depth, or those with the smallest maps."""
        if not self.blocks:
            return self.stages[-count:]
        depth = len(self.blocks)
        return [self.blocks[-(-depth * (step + 1) // count) - 1] for step in range(count)]


def anatomy_of(model: nn.Module, batch: Any, where: str) -> Anatomy:
    """The stages of a model that runs on this batch.

    Raises:
        StillroomError: as of :func:`~stillroom.diagnosis.survey.survey`.
    """
    return anatomy(survey(model, batch, where))


def anatomy(seen: Survey) -> Anatomy:
    """The stages of a model that has run.

    timm's models say themselves which modules end a stage (``feature_info``). Of others the tree of modules is walked.
    """
    name = type(seen.network).__name__
    ends = _told(seen) or _walked(seen)
    stages = {end.layout.stride: end for end in map(_stage, ends) if end is not None}
    in_order = [stages[stride] for stride in sorted(stages)]
    blocks = _blocks(seen) if len(in_order) == 1 else []
    return Anatomy(name, in_order, blocks if len(blocks) >= PLATEAU else [])


def _stage(seen: Seen) -> Stage | None:
    layout = seen.layout
    return None if layout is None else Stage(seen.site, seen.kind, seen.shape, layout, seen.signed, seen.last)


def _told(seen: Survey) -> list[Seen]:
    """The maps and tokens that ``feature_info`` names; nothing where one of its modules did not run once."""
    info = getattr(seen.network, "feature_info", None)
    if not isinstance(info, Sequence):
        return []
    entries = [cast("Mapping[str, Any]", entry) for entry in cast("Sequence[Any]", info) if isinstance(entry, Mapping)]
    named = [seen.seen.get(str(entry.get("module"))) for entry in entries]
    found = [each for each in named if each is not None]
    if len(found) < len(named):
        return []
    return [each for each in found if each.layout is not None and each.layout.on_image]


@dataclass
class _Part:
    """A block, or modules without any inside that stand next to each other and follow each other at one stride."""

    members: list[Seen] = field(default_factory=list[Seen])

    @property
    def end(self) -> Seen:
        return self.members[-1]

    @property
    def weights(self) -> int:
        return sum(member.weights for member in self.members)

    @property
    def stride(self) -> int:
        return _stride(self.end)

    def goes_on_with(self, other: Seen) -> bool:
        return (
            self.end.is_leaf
            and other.is_leaf
            and _parent(self.end.path) == _parent(other.path)
            and self.stride == _stride(other)
        )


def _walked(seen: Survey) -> list[Seen]:
    """The last part at each stride with more than one convolution or linear layer in it, or else with one.

    A single one at the front is a stem, which has seen little of the image, and a single one behind the last block is a
    part of the head. Where the map grows again a decoder begins.
    """
    parts: list[_Part] = []
    for each in sorted(_opened(seen, ""), key=lambda each: each.ended):
        if parts and parts[-1].goes_on_with(each):
            parts[-1].members.append(each)
        else:
            parts.append(_Part([each]))
    weighted = [part for part in _shrinking(parts) if part.weights]
    if weighted and weighted[0].weights == 1:
        weighted = weighted[1:]
    last = {part.stride: part.end for part in weighted if part.weights == 1}
    return [*(last | {part.stride: part.end for part in weighted if part.weights > 1}).values()]


def _shrinking(parts: Iterable[_Part]) -> list[_Part]:
    kept: list[_Part] = []
    for part in parts:
        if not kept or part.stride >= kept[-1].stride:
            kept.append(part)
    return kept


def _opened(seen: Survey, path: str) -> list[Seen]:
    """The parts inside a module: itself, where it halves the map once at most."""
    module, each = seen.network.get_submodule(path), seen.seen.get(path)
    is_leaf = not any(True for _ in module.children())
    if each is not None and each.layout is not None and each.layout.on_image and path:
        halves_once = each.before is not None and each.layout.stride <= 2 * max(each.before.stride, 1)
        if (halves_once or is_leaf) and each.kind not in IDLE:
            return [each]
    if is_leaf:
        return []
    inside = [f"{path}.{name}" if path else name for name, _ in module.named_children()]
    return [part for child in inside for part in _opened(seen, child)]


def _blocks(seen: Survey) -> list[Stage]:
    """The longest row of blocks of one class and layout in one container."""
    rows: dict[tuple[str, str, Layout | None], list[Seen]] = {}
    for each in seen.seen.values():
        if each.path and each.weights and each.layout is not None and each.layout.on_image:
            rows.setdefault((_parent(each.path), each.kind, each.layout), []).append(each)
    longest = max(rows.values(), key=len, default=[])
    return [stage for stage in map(_stage, longest) if stage is not None]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _stride(seen: Seen) -> int:
    return 0 if seen.layout is None else seen.layout.stride


def expect_stages(found: Anatomy, where: str) -> None:
    """Refuse a model in which nothing was recognised.

    Raises:
        StillroomError: it has no stages.
    """
    if not found.stages:
        raise StillroomError(
            f"no stage of {found.name} is recognised",
            where=where,
            expected="modules that run once and return maps (N, C, H, W) or (N, H, W, C), or a square of tokens "
            "(N, L, D)",
            fix="Name sites yourself; `stillroom inspect` and stillroom.recorders.list_sites list them.",
        )
