"""A delivery bound to the models of one distiller."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stillroom.deliveries import Delivery
from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches, Target, in_checkpoint
from stillroom.recorders import Tap, changed, pick, replaced


class Courier:
    """Collects what the teacher's calls return and hands it to the student's.

    Args:
        name: the delivery's name.
        delivery: what to deliver.
        teachers: names of the distiller's teachers.

    Raises:
        StillroomError: this is no delivery; there is no such teacher, or which of several is not said.
    """

    def __init__(self, name: str, delivery: object, teachers: Sequence[str]) -> None:
        self.where = f"deliveries.{name}"
        if not isinstance(delivery, Delivery):
            raise StillroomError(
                "this is no delivery",
                where=self.where,
                expected="FunctionDelivery(path), MethodDelivery(path) or ModuleDelivery(path)",
                got=repr(delivery),
            )
        self.key = f"deliveries/{name}"
        self.delivery = delivery
        self.teacher = self._one_of(teachers)
        self._recorder = delivery.recorder()

    tap: Tap
    _target: Target

    def attach(self, student: nn.Module, teacher: nn.Module, patches: Patches) -> None:
        """Find what is called on both sides.

        Raises:
            StillroomError: it does not exist, or cannot be watched or replaced; names the delivery.
        """
        with self._named():
            self.tap = self._recorder.attach(teacher, patches)
            self._target = self.delivery.target(student)

    def __getstate__(self) -> dict[str, Any]:
        """A copy is attached to models of its own."""
        return {name: value for name, value in vars(self).items() if name not in ("tap", "_target")}

    def collected(self) -> list[Any]:
        """What the teacher's calls returned since the tap was opened, detached, in order.

        Raises:
            StillroomError: there were none, or what was returned has no such item.
        """
        calls = self.tap.close()
        if not calls:
            raise StillroomError(
                f"{self._recorder.noun} {self.delivery.path!r} was never called in the teacher's forward pass",
                where=self.where,
                fix=self.tap.blind_spot,
            )
        with self._named():
            return [changed(pick(value, self.delivery.items), Tensor.detach) for value in calls]

    @contextmanager
    def delivering(self, values: Mapping[str, Any]) -> Generator[None, None, None]:
        """Hand to the student's calls inside what was collected, in order.

        Args:
            values: what was taught.

        Raises:
            StillroomError: nothing was taught for this; the student made more calls than the teacher, or fewer, or one
                that the backward pass would make again.
        """
        if self.key not in values:
            raise StillroomError(
                f"nothing was taught for {self.key!r}",
                where=self.where,
                got=f"values of {', '.join(map(repr, values)) or 'nothing'}",
                fix="Pass what distiller.teach(*inputs) returns.",
            )
        waiting = deque(values[self.key])
        count = len(waiting)

        def intercept(proceed: Callable[[], Any], *_: object) -> Any:
            if not torch.compiler.is_compiling() and in_checkpoint():
                raise self._called_again()
            if not waiting:
                raise self._miscounted("more", count, f"call {count + 1}")
            value = changed(waiting.popleft(), Tensor.clone)
            if not self.delivery.items:
                return value
            own = proceed()
            with self._named():
                return replaced(own, self.delivery.items, value)

        leave = self._target.enter(intercept)
        try:
            yield
        finally:
            leave()
        if waiting:
            raise self._miscounted("less", count, f"{count - len(waiting)} call(s)", fix=self._target.blind_spot)

    @contextmanager
    def _named(self) -> Generator[None, None, None]:
        try:
            yield
        except StillroomError as error:
            raise error.at(self.where) from None

    def _miscounted(self, how: str, expected: int, got: str, *, fix: str = "") -> StillroomError:
        return StillroomError(
            f"the student calls {self.delivery.path!r} {how} often than the teacher",
            where=self.where,
            expected=f"{expected} call(s), as the teacher",
            got=got,
            fix=fix,
        )

    def _called_again(self) -> StillroomError:
        return StillroomError(
            f"the student calls {self.delivery.path!r} in a checkpoint, which the backward pass runs again",
            where=self.where,
            got="a delivery, which has ended by then",
            fix="Do not checkpoint the part of the student that makes this call.",
        )

    def _one_of(self, teachers: Sequence[str]) -> str:
        wanted = self.delivery.teacher
        if not teachers:
            raise StillroomError("a delivery comes from a teacher, and the distiller has none", where=self.where)
        if wanted is None and len(teachers) > 1:
            raise StillroomError(f"which teacher? There are {', '.join(teachers)}", where=f"{self.where}.teacher")
        if wanted is not None and wanted not in teachers:
            raise StillroomError(
                f"there is no teacher {wanted!r}", where=f"{self.where}.teacher", fix=did_you_mean(wanted, teachers)
            )
        return wanted or teachers[0]
