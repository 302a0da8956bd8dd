"""What holds for every loss of stillroom.losses; a new loss is found by its name in ``__all__``."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
from collections.abc import Iterator

import loss_checks
import loss_processes
import loss_refusals
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_properties import PROPERTIES, REFUTABLE
from loss_subjects import Subject, arguments_of, case_of, loss_classes, missing, subjects
from torch import nn

from stillroom.losses import Facts

ALL = subjects()
FIRST = subjects(first_only=True)
WITH_FUNCTION = [subject for subject in ALL if subject.function is not None]

each_class = pytest.mark.parametrize("kind", loss_classes(), ids=lambda kind: kind.__name__)
each = pytest.mark.parametrize("subject", ALL, ids=str)
each_first = pytest.mark.parametrize("subject", FIRST, ids=str)
each_with_function = pytest.mark.parametrize("subject", WITH_FUNCTION, ids=str)
each_derived = pytest.mark.parametrize("subject", [subject for subject in ALL if not subject.holds], ids=str)
each_reduced = pytest.mark.parametrize(
    "subject", [subject for subject in FIRST if loss_refusals.reductions_of(subject.kind)], ids=str
)
each_tempered = pytest.mark.parametrize(
    "subject", [subject for subject in FIRST if loss_refusals.temperatures_of(subject.kind)], ids=str
)


def stated(declared: bool) -> list[tuple[Subject, str]]:
    names = PROPERTIES if declared else REFUTABLE
    return [(subject, name) for subject in FIRST for name in names if getattr(subject.facts, name) is declared]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are tiny: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# What a loss is made of


@each_class
def test_has_facts_a_function_and_a_reference(kind: type[nn.Module]) -> None:
    assert missing(kind) == []


@each_class
def test_arguments_are_keywords_with_defaults_that_are_varied(kind: type[nn.Module]) -> None:
    """What a loss that learns is built for has no default, and stands first."""
    for name, parameter in arguments_of(kind).items():
        assert (parameter.kind is inspect.Parameter.KEYWORD_ONLY) is (parameter.default is not parameter.empty), name
        tried = {repr(variant.get(name, parameter.default)) for variant in case_of(kind).variants}
        assert len(tried) > 1, f"loss_cases.py builds {kind.__name__} with one {name} only"


@each_class
def test_context_is_given_by_keyword(kind: type[nn.Module]) -> None:
    _, *arguments = inspect.signature(kind.forward).parameters.values()
    positional = [argument.name for argument in arguments if argument.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional == ["student", "teacher"] or len(positional) == 1, "one operand is a loss of one network's values"


@each_class
def test_example_in_the_docstring_runs(kind: type[nn.Module]) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(kind, globs={"torch": torch, kind.__name__: kind})
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


# The number, and its gradient


@each
@pytest.mark.parametrize("seed", [0, 1])
def test_module_equals_the_reference(subject: Subject, seed: int) -> None:
    loss_checks.check_module_against_reference(subject, seed)


@each_with_function
def test_function_equals_the_reference_on_both_sides(subject: Subject) -> None:
    loss_checks.check_function_against_reference(subject)


@each_derived
def test_gradcheck(subject: Subject) -> None:
    loss_checks.check_gradcheck(subject)


@each
def test_teacher_gets_no_gradient(subject: Subject) -> None:
    loss_checks.check_teacher_gets_no_gradient(subject)


@each_first
def test_two_processes_equal_one(subject: Subject, two_processes: dict[str, list[torch.Tensor]]) -> None:
    torch.testing.assert_close(two_processes[str(subject)], loss_processes.in_one(subject), rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[torch.Tensor]]:
    return loss_processes.in_two(tmp_path_factory.mktemp("two"))


# What the facts say


def test_every_declaration_has_a_check() -> None:
    assert {field.name for field in dataclasses.fields(Facts) if field.type == "bool"} == PROPERTIES.keys()


@pytest.mark.parametrize(("subject", "name"), stated(True), ids=str)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 6), scale=st.sampled_from([0.1, 1.0, 10.0]))
def test_declared_property_holds(subject: Subject, name: str, seed: int, n: int, scale: float) -> None:
    sample = subject.draw(seed, n).map(lambda x: x * scale)
    assert PROPERTIES[name](subject.build(), sample, seed)


@pytest.mark.parametrize(("subject", "name"), stated(False), ids=str)
def test_undeclared_property_fails(subject: Subject, name: str) -> None:
    assert not all(PROPERTIES[name](subject.build(), subject.draw(seed, 4), seed) for seed in range(3))


# Any input


@each
def test_extremes_are_finite(subject: Subject) -> None:
    loss_checks.check_extremes(subject)


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(subject: Subject, dtype: torch.dtype) -> None:
    loss_checks.check_half_precision(subject, dtype)


@each
def test_autocast_changes_nothing(subject: Subject) -> None:
    loss_checks.check_autocast(subject)


@each
def test_sides_may_differ_in_precision(subject: Subject) -> None:
    loss_checks.check_mixed_precision(subject)


@each
def test_float64_stays(subject: Subject) -> None:
    loss_checks.check_float64(subject)


@each
def test_any_layout(subject: Subject) -> None:
    loss_checks.check_layouts(subject)


@each
def test_value_is_a_scalar(subject: Subject) -> None:
    loss_checks.check_value_is_scalar(subject)


@each_first
def test_shapes_that_differ_are_refused(subject: Subject) -> None:
    loss_refusals.check_shapes(subject)


@each_first
def test_ranks_and_empty_batches_are_refused(subject: Subject) -> None:
    loss_refusals.check_ranks(subject)


# Any argument


@each_reduced
def test_every_reduction_gives_another_number(subject: Subject) -> None:
    loss_refusals.check_every_reduction_differs(subject)


@each_reduced
def test_unknown_reduction_is_named(subject: Subject) -> None:
    loss_refusals.check_unknown_reduction(subject)


@each_tempered
def test_temperature_is_positive(subject: Subject) -> None:
    loss_refusals.check_temperature_is_positive(subject)


# Any use


@each
def test_copies_are_equal(subject: Subject) -> None:
    loss_checks.check_copies(subject)


@each
def test_inputs_are_left_alone(subject: Subject) -> None:
    loss_checks.check_inputs_are_left_alone(subject)


@each
def test_compiles_into_one_graph(subject: Subject) -> None:
    loss_checks.check_compiled(subject)
