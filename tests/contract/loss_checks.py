"""What holds for every loss. Each check takes a subject and asserts; test_mutants.py proves that it can fail."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from loss_oracle import Oracle, Slopes
from loss_runs import run
from loss_samples import Sample, Tree, leaves
from loss_subjects import Subject
from torch import Tensor, nn


def gradients(value: Tensor, of: Tree, cotangent: Tensor | None = None) -> list[Tensor]:
    """The gradient by every leaf; zeros where none arrives."""
    inputs = leaves(of)
    if not (inputs and value.requires_grad):
        return [torch.zeros_like(leaf) for leaf in inputs]
    cotangent = torch.ones_like(value) if cotangent is None else cotangent
    return list(torch.autograd.grad(value, inputs, cotangent, allow_unused=True, materialize_grads=True))


def value_and_gradient(loss: nn.Module, sample: Sample) -> tuple[Tensor, list[Tensor]]:
    sample = sample.leaf()
    value = run(loss, sample)
    return value.detach(), gradients(value, sample.student)


def cotangent_of(value: Tensor) -> Tensor:
    return 1 + torch.rand(value.shape, generator=torch.Generator().manual_seed(1), dtype=value.dtype)


def same(actual: Tensor, expected: Any) -> None:
    np.testing.assert_allclose(actual.detach().double().numpy(), np.asarray(expected), rtol=1e-9, atol=1e-12)


def sloped(actual: list[Tensor], expected: list[Slopes]) -> None:
    """Every gradient rises along the oracle's directions as the oracle does."""
    for gradient, (directions, values) in zip(actual, expected, strict=True):
        np.testing.assert_allclose(directions @ gradient.numpy().ravel(), values, rtol=1e-6, atol=1e-9)


def check_module_against_reference(subject: Subject, seed: int = 0) -> None:
    """Value, the student's gradient, and the gradient of what the loss learns."""
    sample, loss = subject.draw(seed).leaf(), subject.build()
    value, oracle = run(loss, sample), Oracle(subject, loss, sample)
    cotangent = cotangent_of(value)
    same(value, oracle.value())
    sloped(gradients(value, sample.student, cotangent), oracle.slopes(oracle.student, cotangent.numpy()))
    for name, parameter in loss.named_parameters():
        value = run(loss, sample)
        sloped(gradients(value, parameter, cotangent), oracle.slopes(oracle.state[name], cotangent.numpy()))


def check_function_against_reference(subject: Subject, seed: int = 0) -> None:
    """The bare function detaches nothing: both sides' gradients are those of the formula."""
    assert subject.function is not None
    sample = subject.draw(seed).leaf()
    value, oracle = run(subject.function, sample, **subject.arguments), Oracle(subject, subject.build(), sample)
    cotangent = cotangent_of(value)
    same(value, oracle.value())
    sides = [(sample.student, oracle.student), (sample.teacher, oracle.teacher)][: len(sample.sides)]
    for side, array in (*sides, *((sample.context[name], oracle.context[name]) for name in sample.of_teacher)):
        value = run(subject.function, sample, **subject.arguments)
        sloped(gradients(value, side, cotangent), oracle.slopes(array, cotangent.numpy()))


def check_gradcheck(subject: Subject) -> None:
    sample, loss = subject.draw(1).leaf(), subject.build()

    def of_leaves(*given: Tensor) -> Tensor:
        student = given[0] if isinstance(sample.student, Tensor) else given
        return run(loss, replace(sample.map(torch.detach), student=student))

    assert torch.autograd.gradcheck(of_leaves, leaves(sample.student), fast_mode=True)


def check_teacher_gets_no_gradient(subject: Subject) -> None:
    """Except what is trained through this loss."""
    sample, loss = subject.draw().leaf(), subject.build().requires_grad_(False)
    trained = [leaves(sample.teacher)[position] for position in subject.case.trained]
    frozen = sample.map(torch.detach, lambda x: x.detach() if any(x is leaf for leaf in trained) else x)
    assert not run(loss, frozen).requires_grad, "the teacher's graph is in the value"
    value = run(loss, sample)
    assert value.requires_grad, "the student's graph is not in the value"
    reached = [position for position, slope in enumerate(gradients(value, sample.taught)) if slope.any()]
    assert reached == [*subject.case.trained]


FILLS: dict[str, Callable[[Tensor], Tensor]] = {
    "drawn": lambda x: x,
    "huge": lambda x: x.sign() * 1e4,
    "zero": torch.zeros_like,
    "constant": lambda x: torch.full_like(x, 3.0),
    "repeated": lambda x: x[:1].expand_as(x).clone(),
}


def check_extremes(subject: Subject) -> None:
    sizes = (subject.facts.smallest_batch, 3)
    for n, (of_student, fill_s), (of_teacher, fill_t) in itertools.product(sizes, FILLS.items(), FILLS.items()):
        sample = subject.draw(n=n).map(lambda x, f=fill_s: f(x.float()), lambda x, f=fill_t: f(x.float()))
        value, slopes = value_and_gradient(subject.build().float(), sample)
        case = f"N = {n}, student {of_student}, teacher {of_teacher}"
        assert torch.isfinite(value).all(), f"{case}: value {value}"
        assert all(torch.isfinite(slope).all() for slope in slopes), f"{case}: gradient"


def check_half_precision(subject: Subject, dtype: torch.dtype) -> None:
    """Half in, float32 out, and as exact as the same numbers in float64, with inputs as large as real logits."""
    loss, exact = subject.build().float(), subject.build()
    rounded = subject.draw().map(lambda x: (x * 15).to(dtype))
    value, slopes = value_and_gradient(loss, rounded)
    expected, expected_slopes = value_and_gradient(exact, rounded.map(Tensor.double))
    assert value.dtype is torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-5)
    for slope, correct in zip(slopes, expected_slopes, strict=True):
        assert slope.dtype is dtype
        size = float(correct.abs().max())
        torch.testing.assert_close(slope.double(), correct, rtol=torch.finfo(dtype).eps, atol=1e-5 * size + 1e-7)


def check_autocast(subject: Subject) -> None:
    """Autocast changes nothing: not for float32 inputs, nor for what a network under autocast hands over."""
    loss = subject.build().float()
    for dtype in (torch.float32, torch.bfloat16):
        sample = subject.draw().map(lambda x, d=dtype: x.to(d)).leaf()
        expected = run(loss, sample)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = run(loss, sample)
        assert value.dtype is torch.float32
        slopes = [gradients(of.sum(), sample.student) for of in (value, expected)]
        torch.testing.assert_close([value, *slopes[0]], [expected, *slopes[1]], rtol=0, atol=0)


def check_mixed_precision(subject: Subject) -> None:
    loss = subject.build().float()
    for of_student, of_teacher in itertools.permutations((torch.bfloat16, torch.float32, torch.float64), 2):
        sample = subject.draw().map(lambda x, d=of_student: x.to(d), lambda x, d=of_teacher: x.to(d))
        value, slopes = value_and_gradient(loss, sample)
        expected, expected_slopes = value_and_gradient(subject.build(), sample.map(Tensor.double))
        assert value.dtype in (torch.float32, torch.float64)
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
        for slope, correct in zip(slopes, expected_slopes, strict=True):
            assert slope.dtype is of_student
            torch.testing.assert_close(slope.double(), correct, rtol=1e-2, atol=1e-5)


def check_float64(subject: Subject) -> None:
    assert run(subject.build(), subject.draw()).dtype is torch.float64


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "reversed axes": lambda x: x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim))),
    "channels last": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "every other": lambda x: torch.stack((x, x), dim=-1)[..., 0],
    "a part": lambda x: torch.nn.functional.pad(x, (1, 1))[..., 1:-1],
}


def check_layouts(subject: Subject) -> None:
    loss, sample = subject.build(), subject.draw()
    expected, expected_slopes = value_and_gradient(loss, sample)
    for change in LAYOUTS.values():
        value, slopes = value_and_gradient(loss, sample.map(change))
        torch.testing.assert_close([value, *slopes], [expected, *expected_slopes], rtol=1e-10, atol=1e-12)


def check_value_is_scalar(subject: Subject) -> None:
    for n in (subject.facts.smallest_batch, 3):
        assert not subject.scalar or run(subject.build(), subject.draw(n=n)).shape == ()


def check_copies(subject: Subject) -> None:
    loss, sample = subject.build(), subject.draw()
    expected = run(loss, sample)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(run(twin, sample), expected)


def check_inputs_are_left_alone(subject: Subject) -> None:
    sample = subject.draw()
    before = sample.map(torch.clone)
    value_and_gradient(subject.build(), sample)
    run(subject.build(), sample)
    for side in ("student", "teacher"):
        torch.testing.assert_close(leaves(getattr(sample, side)), leaves(getattr(before, side)), rtol=0, atol=0)


def check_compiled(subject: Subject) -> None:
    """One graph, no break, and the eager numbers; a value that Python looks at would break it."""
    torch._dynamo.reset()
    loss, sample = subject.build(), subject.draw()
    expected = value_and_gradient(loss, sample)
    compiled = value_and_gradient(torch.compile(loss, backend="eager", fullgraph=True), sample)
    torch.testing.assert_close(compiled, expected, rtol=1e-12, atol=1e-14)
