"""What holds for every connector of stillroom.connectors; a new one is found by its name in ``__all__``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import connector_checks
import pytest
import torch
from connector_cases import Case, Subject, cases_of, connector_classes, subjects
from torch import Tensor, nn

from stillroom import connectors

each_class = pytest.mark.parametrize("kind", connector_classes(), ids=lambda kind: kind.__name__)
each = pytest.mark.parametrize("subject", subjects(), ids=str)
each_first = pytest.mark.parametrize("subject", subjects(first_only=True), ids=str)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are tiny: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@each_class
def test_has_a_case(kind: type[nn.Module]) -> None:
    assert cases_of(kind), f"connector_cases.py has no case for {kind.__name__}"


def test_names_are_sorted_and_there() -> None:
    assert connectors.__all__ == sorted(connectors.__all__)
    assert {"Conv1x1", "OFDMargin", "Translator"} <= {kind.__name__ for kind in connector_classes()}


@each_class
def test_every_argument_is_set_by_a_case(kind: type[nn.Module]) -> None:
    tried = {name for case in cases_of(kind) for name in case.arguments}
    assert tried == (set(inspect.signature(kind).parameters) if "__init__" in vars(kind) else set())


@each_class
def test_says_what_it_takes_and_gives(kind: type[nn.Module]) -> None:
    text = inspect.getdoc(kind)
    assert text
    if "__init__" in vars(kind):
        assert "Args:" in text
        assert "Shape:" in text
        assert "Raises:" in text


@each
def test_gives_the_declared_shape(subject: Subject) -> None:
    connector_checks.check_shapes(subject)


@each
def test_takes_a_batch_of_one(subject: Subject) -> None:
    connector_checks.check_batch_of_one(subject)


@each
def test_gradient_reaches_everything(subject: Subject) -> None:
    connector_checks.check_gradients(subject)


@each
def test_state_dict_holds_everything(subject: Subject) -> None:
    connector_checks.check_state(subject)


@each
def test_copies_are_equal(subject: Subject) -> None:
    connector_checks.check_copies(subject)


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_keeps_the_precision(subject: Subject, dtype: torch.dtype) -> None:
    connector_checks.check_precision(subject, dtype)


@each
def test_works_under_autocast(subject: Subject) -> None:
    connector_checks.check_autocast(subject)


@each
def test_memory_layout_does_not_matter(subject: Subject) -> None:
    connector_checks.check_layouts(subject)


@each
def test_inputs_are_left_alone(subject: Subject) -> None:
    connector_checks.check_inputs_are_left_alone(subject)


@each
def test_is_built_from_a_recipe(subject: Subject) -> None:
    connector_checks.check_built_from_yaml(subject)


@each_first
def test_compiles_without_a_break(subject: Subject) -> None:
    connector_checks.check_compiled(subject)


# The contract can fail


class Wrong(nn.Module):
    """A 1x1 convolution with one mistake, by name."""

    def __init__(self, mistake: str = "") -> None:
        super().__init__()
        self.mistake = mistake
        self.conv, self.unused = nn.Conv2d(3, 5, 1), nn.Linear(2, 2) if mistake == "unused" else None
        self.offset = torch.rand(1) if mistake == "forgets" else 0.0
        self.share = (lambda x: x) if mistake == "lambda" else None

    def forward(self, x: Tensor) -> Tensor:
        steps: dict[str, Callable[[Tensor], Any]] = {
            "widens": lambda y: y.double(),
            "detaches": lambda y: y.detach() + self.conv.weight.sum() + self.conv.bias.sum(),
            "views": lambda y: y + x.view(len(x), -1).sum() * 0,
            "mixes samples": lambda y: y - y.mean(0, keepdim=True),
            "branches on values": lambda y: -y if bool(y.sum() > 0) else y,
            "overwrites": lambda y: y + x.mul_(2).sum() * 0,
            "wrong shape": lambda y: y[:, :, 1:],
        }
        return steps.get(self.mistake, lambda y: y + self.offset)(self.conv(x))


MISTAKES = {
    "wrong shape": connector_checks.check_shapes,
    "mixes samples": connector_checks.check_batch_of_one,
    "detaches": connector_checks.check_gradients,
    "unused": connector_checks.check_gradients,
    "forgets": connector_checks.check_state,
    "lambda": connector_checks.check_copies,
    "widens": lambda subject: connector_checks.check_precision(subject, torch.bfloat16),
    "views": connector_checks.check_layouts,
    "overwrites": connector_checks.check_inputs_are_left_alone,
    "branches on values": connector_checks.check_compiled,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_contract_rejects(mistake: str) -> None:
    def subject(name: str) -> Subject:
        return Subject(Wrong, Case({"mistake": name}, (2, 3, 4, 6), (2, 5, 4, 6)))

    MISTAKES[mistake](subject(""))
    with pytest.raises((AssertionError, RuntimeError, AttributeError)):
        MISTAKES[mistake](subject(mistake))
