"""The task loss, and the logits that it reads."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.algorithms import logits_of, split, task_loss


def test_a_task_by_name_or_as_a_module() -> None:
    logits, labels = torch.randn(3, 5), torch.tensor([0, 4, 2])
    torch.testing.assert_close(task_loss("cross_entropy")(logits, labels), F.cross_entropy(logits, labels))
    own = nn.MSELoss()
    assert task_loss(own) is own


def test_a_task_that_there_is_not() -> None:
    message = "task: there is no task 'crossentropy'. Did you mean 'cross_entropy'?"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        task_loss("crossentropy")


def test_logits_in_outputs_of_every_kind() -> None:
    logits = torch.randn(3, 5)
    for output in (logits, {"logits": logits, "loss": None}, SimpleNamespace(logits=logits)):
        assert logits_of(output) is logits


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"scores": torch.randn(3, 5)}, "a dict with scores"),
        ([torch.randn(3, 5)], "a list of 1"),
        (None, "a NoneType"),
        (SimpleNamespace(logits=None), "a SimpleNamespace"),
    ],
)
def test_outputs_without_logits(output: object, shown: str) -> None:
    message = (
        'the student\'s output holds no logits; expected a Tensor, a mapping with "logits" or an object with .logits, '
        f"got {shown}. Distil with task_weight=0, or wrap the model."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        logits_of(output)


def test_a_batch_is_inputs_and_context() -> None:
    assert split({"inputs": 1, "labels": 2, "index": 3}) == (1, {"labels": 2, "index": 3})
