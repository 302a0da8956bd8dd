"""How good a classifier is: counted, not averaged over batches."""

import re

import pytest
import torch
from torch import nn

from stillroom.data import Sets
from stillroom.errors import StillroomError
from stillroom.runs.evaluate import Evaluation, evaluate


class Logits(nn.Module):
    """Returns its input; has a mode that must be put back."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Dropout(0.5)

    def forward(self, inputs):
        assert not self.inner.training
        return inputs


def batches(logits, labels, *, size):
    pairs = list(zip(logits, labels, strict=True))
    return Sets(pairs, pairs, batch_size=size).val_dataloader()


def test_means_are_over_samples_not_over_batches():
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 4.0], [0.5, 0.0, 0.0]])
    labels = [0, 1, 1, 2, 1]
    found = evaluate(Logits(), batches(logits, labels, size=2), task=nn.CrossEntropyLoss())
    expected = nn.functional.cross_entropy(logits, torch.tensor(labels))
    assert (found.accuracy, found.count, found.chance) == (3 / 5, 5, 3 / 5)
    assert found.loss == pytest.approx(expected.item())


def test_the_share_among_the_five_best():
    logits = torch.arange(7.0).repeat(4, 1)  # the five best are 2 to 6
    found = evaluate(Logits(), batches(logits, [6, 2, 1, 0], size=3), task=nn.CrossEntropyLoss())
    assert (found.accuracy, found.top5) == (1 / 4, 2 / 4)
    five = evaluate(Logits(), batches(logits[:, :5], [4, 4, 4, 0], size=3), task=nn.CrossEntropyLoss())
    assert five.top5 is None


def test_modes_are_put_back_also_after_an_error():
    model = Logits().train()
    model.inner.eval()
    model.inner.train()
    evaluate(model, batches(torch.eye(3), [0, 1, 2], size=2), task=nn.CrossEntropyLoss())
    assert model.training
    assert model.inner.training
    message = "the model has fewer classes than the data; expected labels below 3, got label 5."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        evaluate(model, batches(torch.eye(3), [0, 5, 2], size=2), task=nn.CrossEntropyLoss())
    assert model.inner.training


def test_no_labels_no_evaluation():
    loader = Sets(list(torch.eye(3)), list(torch.eye(3))).val_dataloader()
    assert evaluate(Logits(), loader, task=nn.CrossEntropyLoss()) is None
    assert evaluate(Logits(), [], task=nn.CrossEntropyLoss()) is None


@pytest.mark.parametrize(("accuracy", "beats"), [(0.1, False), (0.15, False), (0.17, True), (1.0, True)])
def test_chance_is_two_deviations_wide(accuracy, beats):
    """0.1 + 2 sqrt(0.1 * 0.9 / 100) = 0.16."""
    assert Evaluation(accuracy, 0.0, 100, 0.1).beats_chance is beats
