"""What a student starts with that its teacher has learned."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from stillroom.errors import StillroomError
from stillroom.recorders import find_module, unwrap


def inherit(student: nn.Module, teacher: nn.Module, parts: Mapping[str, str]) -> None:
    """Copy parts of a trained teacher into the student: a detector's neck and head, a classifier.

    Parameters and buffers are copied, so that both train or stay frozen as before.

    Args:
        student: gets the values, in place.
        teacher: has them.
        parts: path of a module of the student to the path of the teacher's module that fits it.

    Raises:
        StillroomError: there is no such module, or the two differ in their tensors; nothing is copied then.

    Example:
        >>> student, teacher = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.ReLU(), nn.Linear(2, 3))
        >>> inherit(student, teacher, {"0": "1"})
        >>> bool((student[0].weight == teacher[1].weight).all())
        True
    """
    pairs = [(path, origin, _part(student, path), _part(teacher, origin)) for path, origin in parts.items()]
    for path, origin, ours, theirs in pairs:
        have, give = _shapes(ours), _shapes(theirs)
        for name in [*have, *(name for name in give if name not in have)]:
            if have.get(name) != give.get(name):
                raise StillroomError(
                    f"the teacher's {origin!r} does not fit the student's {path!r}",
                    where=f"inherit.{path}",
                    expected=f"{name or path} of shape {have.get(name)}",
                    got=give.get(name, "none of that name"),
                )
    for _, _, ours, theirs in pairs:
        ours.load_state_dict(theirs.state_dict())


def _part(model: nn.Module, path: str) -> nn.Module:
    try:
        return find_module(unwrap(model), path)
    except StillroomError as error:
        raise error.at("inherit") from None


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
