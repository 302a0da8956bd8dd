"""Which shapes and options a loss takes, and how it refuses all others. As loss_checks.py: a subject in, assertions."""

from __future__ import annotations

import itertools
from typing import get_args, get_type_hints

import pytest
import torch
from loss_runs import run
from loss_samples import Sample, Tree, leaves
from loss_subjects import Subject, arguments_of, width
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.shapes import Shapes


def reductions_of(kind: type[nn.Module]) -> tuple[str, ...]:
    return get_args(get_type_hints(kind.__init__).get("reduction"))


def check_every_reduction_differs(subject: Subject) -> None:
    """No option is ignored: each gives another number, and ``none`` what the others add up."""
    sample = subject.draw()
    values = {option: run(subject.build(reduction=option), sample) for option in reductions_of(subject.kind)}
    totals = [float(value.sum()) for option, value in values.items() if option != "none"]
    for one, other in itertools.combinations(totals, 2):
        assert abs(one - other) > 1e-3 * max(abs(one), abs(other)), values
    if "none" in values:
        assert values["none"].shape == leaves(sample.student)[0].shape
        torch.testing.assert_close(values["none"].sum(), values["sum"])


def check_unknown_reduction(subject: Subject) -> None:
    message = r"^unknown reduction 'means'; expected .*mean.*\. Did you mean 'mean'"
    with pytest.raises(StillroomError, match=message):
        subject.build(reduction="means")
    if subject.function is not None:
        with pytest.raises(StillroomError, match=message):
            run(subject.function, subject.draw(), reduction="means")


def temperatures_of(kind: type[nn.Module]) -> list[str]:
    return [name for name in arguments_of(kind) if name == "tau" or name.endswith("temperature")]


def check_temperature_is_positive(subject: Subject) -> None:
    for name, bad in itertools.product(temperatures_of(subject.kind), (0, -1.0, float("nan"), float("inf"))):
        with pytest.raises(StillroomError, match=rf"^{name} .*expected {name} > 0 and finite, got {bad}\.$"):
            subject.build(**{name: bad})


def _with_leaf(tree: Tree, position: int, new: Tensor) -> Tree:
    return new if isinstance(tree, Tensor) else tuple(new if i == position else x for i, x in enumerate(tree))


def check_shapes(subject: Subject) -> None:
    """No size is broadcast, none ignored: one more and a single one, in every axis, on either side."""
    loss, sample, accepted = subject.build(), subject.draw(), subject.facts.shapes
    student, teacher = leaves(sample.student), leaves(sample.teacher)
    any_width = width(subject.arguments, "teacher") is None and "tail" not in sample.context
    for position, leaf in enumerate(teacher):
        for changed in _reshaped(leaf):
            fits = any_width or changed.shape[1:2] == leaf.shape[1:2]
            if fits and _accepted(student[position], changed, accepted):
                given = Sample(sample.student, _with_leaf(sample.teacher, position, changed), sample.context)
                assert torch.isfinite(run(loss, given)).all()
            else:
                _refused(loss, sample, position, student[position], changed)


def _reshaped(leaf: Tensor) -> list[Tensor]:
    firsts = [leaf.narrow(axis, 0, 1) for axis in range(leaf.ndim)]
    longer = [torch.cat((leaf, first), dim=axis) for axis, first in enumerate(firsts)]
    return [*firsts, *longer, leaf[0, :1], leaf.unsqueeze(-1)]


def _accepted(one: Tensor, other: Tensor, accepted: Shapes) -> bool:
    if one.ndim not in accepted.ranks or other.ndim not in accepted.ranks:
        return False
    if accepted.equal is None:
        return one.shape == other.shape
    return all(one.shape[axis] == other.shape[axis] for axis in accepted.equal)


def _refused(loss: nn.Module, sample: Sample, position: int, one: Tensor, other: Tensor) -> None:
    def shown(student: Tensor, teacher: Tensor) -> str:
        return f"got student {tuple(student.shape)} and teacher {tuple(teacher.shape)}"

    for student, teacher in ((one, other), (other, one)):
        given = Sample(
            _with_leaf(sample.student, position, student),
            _with_leaf(sample.teacher, position, teacher),
            sample.context,
        )
        with pytest.raises(StillroomError) as caught:
            run(loss, given)
        assert shown(student, teacher) in str(caught.value)


def check_ranks(subject: Subject) -> None:
    """A rank that the loss does not declare is refused even where both sides have it, and so is a batch of none."""
    loss, sample, accepted = subject.build(), subject.draw(), subject.facts.shapes
    for change in (lambda x: x.unsqueeze(-1), lambda x: x[:, 0], lambda x: x[0, 0]):
        changed = sample.map(change)
        if any(leaf.ndim not in accepted.ranks for leaf in leaves(changed.sides[-1])):
            with pytest.raises(StillroomError, match="wrong number of axes; expected"):
                run(loss, changed)
    if subject.facts.smallest_batch > 0:
        with pytest.raises(StillroomError, match="an empty input has no loss"):
            run(loss, sample.rows(slice(0, 0)))
    for n in range(1, subject.facts.smallest_batch):
        with pytest.raises(StillroomError, match=rf"batch .* expected N >= {subject.facts.smallest_batch}, got"):
            run(loss, sample.rows(slice(0, n)))
