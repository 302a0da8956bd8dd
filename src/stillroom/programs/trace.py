"""From a model to its program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from stillroom.distillers.teacher import call
from stillroom.errors import StillroomError
from stillroom.programs.capture import Run
from stillroom.programs.code import Constants
from stillroom.programs.modes import settled
from stillroom.programs.operation import Call
from stillroom.programs.plan import Plan
from stillroom.programs.program import Program
from stillroom.programs.rehearsal import Rehearsal
from stillroom.recorders import describe, unwrap


def trace(model: nn.Module, *example: Any) -> Program:
    """The computation of a model as a program, in training and in evaluation alike.

    The model is followed once in each mode without computing anything, and stays as it is: parameters, buffers, modes
    and the random state. Modules of ``torch.nn`` are one operation each. So are those whose operations depend on the
    mode or cannot be followed; tensors inside them have no names.

    A tensor's name says where it is made, so it is the same in every process and does not change with what is done
    elsewhere in the model:

    | name | tensor |
    |---|---|
    | ``x`` | an input, as the forward pass names it |
    | ``layer1.0.conv1`` | what the module at this path returns; ``layer1.0.relu_1`` in its second call |
    | ``layer1.0.add`` | what a function, method or operator makes in the forward pass of the module ``layer1.0``; \
the next sum there is ``layer1.0.add_1`` |
    | ``attn.unbind[0]`` | an item of what ``attn.unbind`` gives |

    Where a name is asked for, the path of any module stands for the tensor that this module returns: ``layer1``.

    Args:
        model: any module whose inputs are tensors and whose control flow does not depend on their values.
        example: what it is called with; a single mapping becomes its keywords. The batch may be of another size later,
            the rest as far as the model itself allows.

    Returns:
        The program, which trains the model where it is trained.

    Raises:
        StillroomError: the model cannot be followed, or fails on the example; says what to do instead.
    """
    network = unwrap(model)
    keys = _keys(network, example)
    if len(example) == 1 and isinstance(example[0], Mapping):
        return traced(network, lambda given: call(network, (dict(zip(keys, given, strict=True)),)), keys, example)
    return traced(network, lambda given: call(network, tuple(given)), keys, example)


def traced(network: nn.Module, run: Run, names: list[str], example: tuple[Any, ...]) -> Program:
    """The program of what ``run`` does with a network.

    Args:
        network: in which modules are found by their paths.
        run: gets what stands for the inputs.
        names: of the inputs.
        example: the inputs.
    """
    given = list(example[0].values()) if len(example) == 1 and isinstance(example[0], Mapping) else list(example)
    for name, value in zip(names, given, strict=True):
        if not isinstance(value, Tensor):
            raise StillroomError("the inputs of a program are tensors", where=name, got=describe(value))
    capture = settled(network, run, names)
    rehearsal = Rehearsal(network, capture, dict(zip(names, given, strict=True)))
    places = {name: f"c{index}" for index, name in enumerate(capture.constants)}
    operations = [replace(made, target=places.get(made.name, made.target)) for made in rehearsal.operations]
    calls: dict[int, list[Call]] = {id(module): [] for module in network.modules()}
    for path, called in rehearsal.calls():
        calls[id(network.get_submodule(path))].append(called)
    paths = network.named_modules(remove_duplicate=False)
    plan = Plan(
        operations=tuple(operations),
        calls={path: tuple(calls[id(module)]) for path, module in paths},
        outputs={"": rehearsal.output()},
    )
    return Program(plan, network, Constants([*capture.constants.values()]))


def _keys(network: nn.Module, example: tuple[Any, ...]) -> list[str]:
    """What the forward pass calls its inputs."""
    if len(example) == 1 and isinstance(example[0], Mapping):
        return [*cast("Mapping[str, Any]", example[0])]
    keys: list[str] = []
    for parameter in inspect.signature(network.forward).parameters.values():
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            continue
        several = len(example) - len(keys) if parameter.kind is parameter.VAR_POSITIONAL else 1
        keys += [parameter.name, *(f"{parameter.name}_{index}" for index in range(1, several))]
    if not 0 < len(example) <= len(keys):
        raise StillroomError(
            f"the example does not fit {type(network).__name__}.forward",
            expected=f"1 to {len(keys)} inputs ({', '.join(keys)})",
            got=len(example),
        )
    return keys[: len(example)]
