"""Parameters and multiply-adds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillroom.diagnosis import ModelSize, model_size
from stillroom.diagnosis.counting import multiply_adds


class Branching(nn.Module):
    """What it does depends on the numbers that it gets."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(x) if bool(x.sum() > 0) else x


class Keeping(nn.Module):
    """Keeps what it computed."""

    def __init__(self):
        super().__init__()
        self.fc, self.kept = nn.Linear(3, 4), None

    def forward(self, x):
        self.kept = self.fc(x) if self.kept is None else self.kept
        return self.kept


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        (nn.Linear(7, 5), (1, 7), 35),
        (nn.Conv2d(3, 4, 3, padding=1), (1, 3, 8, 8), 64 * 3 * 4 * 9),
        (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 8, 8), 36 * 4 * 9),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()), (1, 3, 2, 2), 48),
        (nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 5)), (2, 1, 3), None),
        (nn.Linear(7, 5), (1, 8), None),
        (nn.ReLU(), (1, 8), 0),
        (Branching(), (1, 3), 12),
    ],
)
def test_multiply_adds(model, shape, count):
    assert multiply_adds(model, torch.ones(shape)) == count


def test_what_is_looked_up_does_not_count():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    assert multiply_adds(model, torch.zeros(1, 3, dtype=torch.long)) == 3 * 8


def test_a_layer_that_has_a_fused_path():
    model = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    # Of 5 tokens: in and out projections, two products of attention, two layers of the feed-forward part.
    assert multiply_adds(model, torch.randn(1, 5, 8)) == 5 * (4 * 64 + 2 * 5 * 8 + 2 * 128)


def test_the_model_is_as_before():
    model = Keeping()
    model.train()
    drawn = torch.get_rng_state()
    assert model_size(model, torch.ones(1, 3)) == ModelSize("Keeping", 16, 12)
    assert (model.kept, model.training) == (None, True)
    assert torch.equal(torch.get_rng_state(), drawn)
