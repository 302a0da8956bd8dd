"""What holds for every connector. Each check takes a subject and asserts."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from connector_cases import Subject, Tree, leaves, mapped
from torch import Tensor, nn

from stillroom.runs.build import spec


def run(module: nn.Module, x: Tree, method: str = "forward") -> Tree:
    """With the same random numbers each time, for what draws any."""
    torch.manual_seed(3)
    return module(x) if method == "forward" else getattr(module, method)(x)


def same(actual: Tree, expected: Tree, *, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    for a, e in zip(leaves(actual), leaves(expected), strict=True):
        torch.testing.assert_close(a, e, rtol=rtol, atol=atol)


def check_shapes(subject: Subject) -> None:
    """In training and evaluation; an output that is a group is a tuple."""
    module = subject.build()
    for training in (True, False):
        assert mapped(lambda x: tuple(x.shape), run(module.train(training), subject.draw())) == subject.want()


def check_batch_of_one(subject: Subject) -> None:
    """Has the right shape and, but for what looks at the whole batch, the value that it has in a larger one."""
    module, x = subject.build(), subject.draw(3)
    got = run(module, mapped(lambda part: part[:1], x))
    assert mapped(lambda part: tuple(part.shape), got) == subject.want(1)
    assert all(bool(part.isfinite().all()) for part in leaves(got))
    if subject.kind.__name__ != "Standardize":
        same(got, mapped(lambda part: part[:1], run(module, x)))


def check_gradients(subject: Subject) -> None:
    """Reach every parameter and every input, and none is zero."""
    module = subject.build().train()
    x = mapped(lambda part: part.requires_grad_(), subject.draw())
    total = torch.zeros((), dtype=torch.float64)
    for method in ("forward", *subject.case.also):
        for part in leaves(run(module, x, method)):
            total = total + (part * torch.rand_like(part)).sum()
    total.backward()
    named = [*module.named_parameters(), *((f"input {i}", part) for i, part in enumerate(leaves(x)))]
    for name, tensor in named:
        assert tensor.grad is not None, f"no gradient reaches {name}"
        assert bool(tensor.grad.isfinite().all()), f"the gradient of {name} is not finite"
        assert bool(tensor.grad.any()), f"the gradient of {name} is zero"


def check_state(subject: Subject) -> None:
    """What a state dict holds is all that another object needs to give the same."""
    module, x = subject.build(), subject.draw()
    run(module.train(), x)
    other = subject.kind(**subject.case.arguments).double().eval()
    other.load_state_dict(module.eval().state_dict())
    same(run(other, x), run(module, x), rtol=0, atol=0)


def check_copies(subject: Subject) -> None:
    module, x = subject.build(), subject.draw()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        same(run(twin, x), run(module, x), rtol=0, atol=0)


def check_precision(subject: Subject, dtype: torch.dtype) -> None:
    """Half in, half out, and near the same numbers in float64."""
    module, x = subject.build(), subject.draw()
    got, expected = run(copy.deepcopy(module).to(dtype), mapped(lambda part: part.to(dtype), x)), run(module, x)
    assert {part.dtype for part in leaves(got)} == {dtype}
    size = max(float(part.detach().abs().max()) for part in leaves(expected))
    same(mapped(Tensor.double, got), expected, rtol=0, atol=16 * torch.finfo(dtype).eps * max(size, 1))


def check_autocast(subject: Subject) -> None:
    """Forwards and backwards, for what a network under autocast hands over, and for float32."""
    for dtype in (torch.float32, torch.bfloat16):
        module = subject.build().float().train()
        x = mapped(lambda part, d=dtype: part.to(d).requires_grad_(), subject.draw())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = run(module, x)
        expected = run(subject.build().float().train(), mapped(lambda part: part.detach().float(), x))
        size = max(float(part.detach().abs().max()) for part in leaves(expected))
        same(mapped(lambda part: part.float(), got), expected, rtol=0, atol=0.1 * max(size, 1))
        sum(part.float().square().sum() for part in leaves(got)).backward()
        assert all(bool(part.grad.isfinite().all()) for part in leaves(x))


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "reversed axes": lambda x: x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim))),
    "channels last": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "every other": lambda x: torch.stack((x, x), dim=-1)[..., 0],
    "expanded": lambda x: x[:1].expand_as(x),
}


def check_layouts(subject: Subject) -> None:
    for name, layout in LAYOUTS.items():
        module, x = subject.build(), mapped(layout, subject.draw())
        for training in (False, True):
            got = run(copy.deepcopy(module).train(training), x)
            expected = run(copy.deepcopy(module).train(training), mapped(torch.clone, mapped(Tensor.contiguous, x)))
            assert not any(part.isnan().any() for part in leaves(got)), name
            same(got, expected, rtol=1e-9, atol=1e-9)


def check_inputs_are_left_alone(subject: Subject) -> None:
    module, x = subject.build(), subject.draw()
    before = mapped(torch.clone, x)
    for training in (True, False):
        run(module.train(training), x)
    same(x, before, rtol=0, atol=0)


def check_built_from_yaml(subject: Subject) -> None:
    """By bare name, with the arguments as they stand in a recipe, it is the same as built in Python."""
    name, arguments = subject.kind.__name__, subject.case.arguments
    found = spec("terms.hint.connector", {"class_path": name, "init_args": arguments}, home="stillroom.connectors")
    assert type(found.make()) is subject.kind
    assert repr(found.make()) == repr(subject.kind(**arguments))
    again = spec("terms.hint.connector", found.plain(), home="stillroom.connectors")
    assert repr(again.make()) == repr(found.make())
    assert found.init_args.keys() >= arguments.keys()


def check_compiled(subject: Subject) -> None:
    """One graph without a break, and the eager numbers."""
    for training in (False, True):
        torch._dynamo.reset()
        module, x = subject.build().train(training), subject.draw()
        expected: Any = run(copy.deepcopy(module), x)
        same(run(torch.compile(module, backend="eager", fullgraph=True), x), expected, rtol=1e-9, atol=1e-9)
