"""The contract can fail: every check rejects a loss with the mistake that it is there for."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import loss_checks
import loss_mutants
import loss_mutants_contrastive
import loss_mutants_detection
import loss_mutants_features
import loss_mutants_logits
import loss_mutants_yolo
import loss_refusals
import numpy as np
import pytest
import torch
from loss_mutants import WRONG_FACTS, Check, mutant_of, original
from loss_properties import PROPERTIES
from loss_samples import Sample, logits
from loss_subjects import Subject, missing
from torch import Tensor, nn

from stillroom import losses
from stillroom.losses.reduce import Reduction
from stillroom.losses.shapes import LOGITS

FAMILIES = (loss_mutants, loss_mutants_features, loss_mutants_logits, loss_mutants_yolo, loss_mutants_detection)
WRONG_VALUES = {name: wrong for family in FAMILIES for name, wrong in family.WRONG_VALUES.items()}
WRONG_MANNERS = {name: wrong for family in FAMILIES for name, wrong in family.WRONG_MANNERS.items()}
WRONG_MODULES = {
    name: wrong
    for family in (loss_mutants_features, loss_mutants_contrastive, loss_mutants_detection)
    for name, wrong in family.WRONG_MODULES.items()
}
VALUE = loss_checks.check_module_against_reference
ERRORS = (AssertionError, RuntimeError, pytest.fail.Exception)


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_reference_rejects(name: str) -> None:
    subject, function = WRONG_VALUES[name]
    VALUE(subject)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        VALUE(mutant_of(subject, function))


@pytest.mark.parametrize("name", WRONG_MODULES)
def test_reference_rejects_module(name: str) -> None:
    subject, kind = WRONG_MODULES[name]
    VALUE(subject)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        VALUE(replace(subject, kind=kind))


@pytest.mark.parametrize("name", WRONG_MANNERS)
def test_check_rejects(name: str) -> None:
    subject, function, check = WRONG_MANNERS[name]
    check(subject)
    with pytest.raises(ERRORS):
        check(mutant_of(subject, function))


@pytest.mark.parametrize("name", WRONG_FACTS)
def test_property_rejects(name: str) -> None:
    subject, function = WRONG_FACTS[name]
    assert PROPERTIES[name](subject.build(), subject.draw(n=4), 1)
    mutant = mutant_of(subject, function)
    assert not all(PROPERTIES[name](mutant.build(), subject.draw(seed, 4), seed) for seed in range(3))


def test_every_property_has_a_mutant() -> None:
    assert WRONG_FACTS.keys() == PROPERTIES.keys()


def test_teacher_that_keeps_its_graph_is_rejected() -> None:
    right = original("L2")
    with pytest.raises(AssertionError, match="the teacher's graph is in the value"):
        loss_checks.check_teacher_gets_no_gradient(mutant_of(right, losses.l2, detaches=False))


class Deaf(nn.Module):
    facts = losses.L2.facts

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return losses.l2(student, teacher.detach())


@pytest.mark.parametrize("check", [loss_refusals.check_every_reduction_differs, loss_refusals.check_unknown_reduction])
def test_reduction_without_effect_is_rejected(check: Check) -> None:
    right = original("L2")
    check(right)
    with pytest.raises(ERRORS):
        check(Subject(Deaf, right.function, right.reference, right.sampler))


def test_loss_that_cannot_be_copied_is_rejected() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        loss_checks.check_copies(mutant_of(original("L2"), losses.l2))


def test_loss_that_lacks_a_part_is_named() -> None:
    class Bare(nn.Module):
        pass

    class Lonely(nn.Module):
        facts = losses.KLDivergence.facts

    assert missing(Bare) == ["facts"]
    assert missing(Lonely) == ["reference", "function"]


# What few losses have: a parameter, labels, and a factor that is held constant


class Weighed(nn.Module):
    """``scale · mean of (1 − p_y) (s − t)²``, the factor detached."""

    facts = losses.Facts(
        kind="logits", reads="logits", shapes=LOGITS, paper="none", zero_at_equality=True, per_sample_mean=True
    )

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        factor = self.held(1 - student.softmax(1).gather(1, labels[:, None]))
        return self.scale * (factor * (student - teacher.detach()).square()).mean()

    def held(self, factor: Tensor) -> Tensor:
        return factor.detach()


class Unheld(Weighed):
    def held(self, factor: Tensor) -> Tensor:
        return factor


class Unscaled(Weighed):
    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        return super().forward(student, teacher, labels=labels) / self.scale * self.scale.detach()


def weighed(student: Any, teacher: Any, *, labels: Any, state: Any, fixed: Any) -> float:
    total = 0.0
    for s, t, label, held in zip(student, teacher, labels, fixed.student, strict=True):
        total += (1 - np.exp(held[label]) / np.exp(held).sum()) * sum((s - t) ** 2)
    return state["scale"] * total / student.size


def labelled(generator: torch.Generator, n: int) -> Sample:
    sample = logits(generator, n)
    return Sample(sample.student, sample.teacher, {"labels": torch.randint(5, (n,), generator=generator)})


def test_loss_with_labels_a_parameter_and_a_held_factor() -> None:
    subject = Subject(Weighed, None, weighed, labelled)
    VALUE(subject)
    loss_checks.check_teacher_gets_no_gradient(subject)
    loss_checks.check_compiled(subject)
    for name in ("zero_at_equality", "per_sample_mean", "permutation_invariant"):
        assert PROPERTIES[name](subject.build(), subject.draw(n=4), 1)


@pytest.mark.parametrize("kind", [Unheld, Unscaled])
def test_reference_rejects_a_gradient_that_should_not_be_or_is_not(kind: type[nn.Module]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        VALUE(Subject(kind, None, weighed, labelled))


class Unreversed(losses.CurriculumTemperature):
    @property
    def temperature(self) -> Tensor:
        return self.start + self.end * self.theta.sigmoid()


def test_reference_rejects_a_temperature_that_learns_to_lower_the_loss() -> None:
    right = original("CurriculumTemperature")
    VALUE(right)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        VALUE(Subject(Unreversed, None, right.reference, right.sampler))
