"""The frozen teacher: a network that looks like no part of the distiller and cannot be woken up unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.recorders import Item, describe, pick, replaced


class Teacher(nn.Module):
    """Holds a trained network, frozen for good: eval mode, no gradients, not in ``parameters()`` or ``state_dict()``.

    The network is the caller's own object; freezing it changes its flags. It moves with ``.to()`` of whatever holds the
    teacher and is copied with it. Pass ``copy.deepcopy(network)`` to keep yours awake.

    Args:
        network: the trained network, returning logits.
        transform: what turns the student's input into the teacher's: another size or normalisation. Gets the inputs of
            the forward pass, returns one input, or a tuple of several.
        classes: for each class of the student, the index of the same class in the teacher's logits (N, C).
        items: where ``classes`` finds the logits in what the network returns, ``("logits",)``; empty: it returns them.

    Raises:
        StillroomError: no class is given, or a negative one.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        transform: Callable[..., Any] | None = None,
        classes: Sequence[int] | None = None,
        items: Sequence[Item] = (),
    ) -> None:
        super().__init__()
        if classes is not None and min(classes, default=-1) < 0:
            raise StillroomError("classes are indices of the teacher's logits", where="classes", got=list(classes))
        # A registered submodule would enter parameters(), checkpoints and train(); an ordinary attribute does not.
        object.__setattr__(self, "network", network.eval().requires_grad_(False))
        object.__setattr__(self, "_parts", tuple(network.modules()))
        object.__setattr__(self, "transform", transform)
        self.classes, self.items = None if classes is None else list(classes), tuple(items)
        self.training = False

    passes_inputs_on = True
    network: nn.Module
    transform: Callable[..., Any] | None
    _parts: tuple[nn.Module, ...]

    def forward(self, *inputs: Any) -> Any:
        """The network's output, under ``torch.no_grad``.

        Raises:
            StillroomError: somebody put the network, or a part of it, into train mode.
        """
        self.expect_frozen()
        with torch.no_grad():
            output = call(self.network, inputs if self.transform is None else _transformed(self.transform, inputs))
            if self.classes is None:
                return output
            self._expect_classes(output, self.classes)
            return self.mapped(output)

    def train(self, mode: bool = True) -> Teacher:
        """Does nothing: a teacher stays in eval mode."""
        del mode
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Teacher:
        super()._apply(fn, recurse)
        for hidden in (self.network, self.transform):
            if isinstance(hidden, nn.Module):
                hidden._apply(fn, recurse)  # pyright: ignore[reportPrivateUsage] - the way of .to(), .half(), .cuda()
        return self

    def mapped(self, output: Any) -> Any:
        """The output with the classes of the student."""
        if self.classes is None:
            return output
        return replaced(output, self.items, pick(output, self.items)[:, self.classes])

    def _expect_classes(self, output: Any, classes: list[int]) -> None:
        logits, most = pick(output, self.items), max(classes)
        if not isinstance(logits, Tensor) or logits.dim() < 2 or most >= logits.shape[1]:
            raise StillroomError(
                "the teacher's classes cannot be mapped",
                where="classes",
                expected=f"logits (N, C) with C > {most}",
                got=describe(logits),
                fix="" if isinstance(logits, Tensor) else 'Say where they are: items=("logits",).',
            )

    def expect_frozen(self) -> None:
        """Raises:
        StillroomError: a part of the network is in train mode.
        """
        for part in self._parts:
            if part.training:
                raise StillroomError(
                    f"the teacher was put into train mode ({type(part).__name__}.training is True)",
                    fix="Its BatchNorm statistics would move and its dropout would be on. Do not call train() on it, "
                    "or on a module that contains it; call eval() to go on.",
                )


def _transformed(transform: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    changed = transform(*inputs)
    return cast("tuple[Any, ...]", changed) if isinstance(changed, tuple) else (changed,)


def call(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """Run a model on the inputs; a single mapping becomes its keywords, unless it only passes its inputs on."""
    if len(inputs) != 1 or isinstance(inputs[0], Tensor) or getattr(model, "passes_inputs_on", False):
        return model(*inputs)
    return model(**cast("Mapping[str, Any]", inputs[0])) if isinstance(inputs[0], Mapping) else model(*inputs)
