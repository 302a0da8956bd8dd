"""What every module of a model did in one forward pass."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from stillroom.diagnosis.asking import asked, network_of
from stillroom.diagnosis.layout import Layout, Shape, layout_of
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders import describe

IDLE = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "DropPath", "StochasticDepth", "DropBlock2d")
"""Classes of modules that do nothing in evaluation."""


@dataclass(frozen=True)
class Seen:
    """A module that ran once.

    Attributes:
        path: of the module.
        site: of the tensor: the path, or an item of what it returned.
        kind: its class.
        is_leaf: whether it has no modules inside.
        weights: number of matrices and kernels in it: of convolutions, linear layers and their like.
        shape: of the tensor.
        before: layout of the first tensor that it was called with.
        layout: of the tensor that it returned.
        signed: whether the tensor has values below 0.
        last: class of the last module inside, or of itself, that did something.
        ended: its place in the order of endings.
    """

    path: str
    site: str
    kind: str
    is_leaf: bool
    weights: int
    shape: Shape
    before: Layout | None
    layout: Layout | None
    signed: bool
    last: str
    ended: int


@dataclass(frozen=True)
class Survey:
    """One forward pass of a model.

    Attributes:
        network: the model inside its wrappers.
        seen: the modules that ran exactly once and returned a tensor, by path, in the order of their ends.
        output: what the model returned.
        image: shape of the images, (N, C, S, S).
    """

    network: nn.Module
    seen: dict[str, Seen]
    output: Any
    image: Shape


@dataclass(frozen=True)
class _End:
    item: str
    shape: Shape
    signed: bool
    at: int


def survey(model: nn.Module, batch: Any, where: str) -> Survey:
    """Run a model once in evaluation mode, leaving it as it was.

    Args:
        model: any module, or a :class:`~stillroom.distillers.Teacher`, whose transform is applied.
        batch: what it is called with.
        where: ``"student"`` or ``"teacher"``, for messages.

    Raises:
        StillroomError: it does not take the batch, or this holds no square images.
    """
    network = network_of(model)
    starts: dict[str, Shape] = {}
    ends: dict[str, list[_End]] = {}
    order = itertools.count()

    def entered(_module: nn.Module, args: tuple[Any, ...], keywords: Mapping[str, Any], *, path: str) -> None:
        tensors = [value for value in (*args, *keywords.values()) if isinstance(value, Tensor)]
        images = [value for value in tensors if value.dim() == 4] if path == "" else tensors
        if images:
            starts[path] = tuple(images[0].shape)

    def left(_module: nn.Module, _args: object, output: Any, *, path: str) -> None:
        ends.setdefault(path, []).append(_end(output, next(order)))

    with untouched(network), Patches() as patches:
        for path, module in network.named_modules():
            patches.hook_inputs(module, lambda *given, path=path: entered(*given, path=path))
            patches.hook_outputs(module, lambda *given, path=path: left(*given, path=path))
        output = asked(model, batch, where)
    image = _square(starts.get(""), batch, where)
    return Survey(network, _seen(network, starts, ends, image), output, image)


def _end(output: Any, at: int) -> _End:
    item = ""
    if isinstance(output, tuple) and output:
        output, item = cast("tuple[Any, ...]", output)[0], "[0]"
    if not isinstance(output, Tensor):
        return _End(item, (), False, at)
    signed = output.is_floating_point() and output.numel() > 0 and bool(output.min() < 0)
    return _End(item, tuple(output.shape), signed, at)


def _square(image: Shape | None, batch: Any, where: str) -> Shape:
    if image is None or image[2] != image[3]:
        raise StillroomError(
            "the stages of a model are found by their sizes on square images",
            where=where,
            expected="images (N, C, S, S)",
            got=describe(batch) if image is None else f"images of shape {image}",
            fix="Give a square crop: sites do not depend on the size, and connectors are inferred again by prepare()."
            if image is not None
            else "",
        )
    return image


def _seen(
    network: nn.Module, starts: Mapping[str, Shape], ends: Mapping[str, list[_End]], image: Shape
) -> dict[str, Seen]:
    modules = dict(network.named_modules())
    leaves = {path: not any(True for _ in module.children()) for path, module in modules.items()}
    acts = sorted(
        (end.at, path)
        for path, each in ends.items()
        for end in each
        if leaves[path] and type(modules[path]).__name__ not in IDLE
    )
    found: list[Seen] = []
    for path, each in ends.items():
        if len(each) != 1 or not each[0].shape:
            continue
        end, module, inside = each[0], modules[path], f"{path}." if path else ""
        within = [name for at, name in acts if at <= end.at and (name == path or name.startswith(inside))]
        found.append(
            Seen(
                path=path,
                site=path + end.item,
                kind=type(module).__name__,
                is_leaf=leaves[path],
                weights=sum(_has_kernel(part) for part in module.modules()),
                shape=end.shape,
                before=layout_of(starts.get(path, ()), batch=image[0], size=image[2]),
                layout=layout_of(end.shape, batch=image[0], size=image[2]),
                signed=end.signed,
                last=type(modules[within[-1]]).__name__ if within else type(module).__name__,
                ended=end.at,
            )
        )
    return {each.path: each for each in sorted(found, key=lambda each: each.ended)}


def _has_kernel(module: nn.Module) -> bool:
    """Whether it is a convolution, a linear layer or the like, whose weights have two axes or more."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() >= 2
