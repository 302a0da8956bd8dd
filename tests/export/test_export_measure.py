"""What a model costs is counted right, and measuring leaves no trace."""

from __future__ import annotations

import time

import pytest
import torch
from export_models import Tied
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.export import model_facts
from stillroom.export.measure import SECONDS, WARM_UP_SECONDS


@pytest.fixture(autouse=True)
def _as_long_as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillroom.export.measure.SECONDS", SECONDS)
    monkeypatch.setattr("stillroom.export.measure.WARM_UP_SECONDS", WARM_UP_SECONDS)


class Slow(nn.Module):
    """Takes 4 ms per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        self.seen: list[tuple[int, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.004 * len(x))
        self.seen.append((len(x), self.training, torch.is_grad_enabled()))
        return self.layer(x)


def test_latency_of_one_and_of_the_batch_in_milliseconds() -> None:
    facts = model_facts(Slow(), torch.rand(5, 2))
    assert facts.batch == 5
    # No tight upper bounds: other programs may keep the machine busy.
    assert 4 <= facts.latency_one_ms < 1000
    assert 20 <= facts.latency_batch_ms < 1000
    assert facts.latency_one_ms < facts.latency_batch_ms


def test_it_evaluates_without_gradients_and_restores_every_mode() -> None:
    model = Slow().train()
    model.layer.eval()
    modes = [module.training for module in model.modules()]
    model_facts(model, torch.rand(5, 2))
    assert {(training, grad) for _, training, grad in model.seen} == {(False, False)}
    assert {size for size, _, _ in model.seen} == {1, 5}
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_modes_come_back_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    with pytest.raises(RuntimeError):
        model_facts(model, torch.rand(5, 3))
    assert all(module.training for module in model.modules())


def test_a_slow_model_runs_a_bounded_time() -> None:
    assert (SECONDS, WARM_UP_SECONDS) == (0.5, 0.1)
    model = Slow()
    start = time.perf_counter()
    model_facts(model, torch.rand(100, 2))
    # Two warm-ups and two measurements, each over by no more than one run of 0.4 s.
    assert time.perf_counter() - start < 5.0
    assert len([size for size, _, _ in model.seen if size == 100]) >= 2


def test_parameters_and_size_count_tied_tensors_once() -> None:
    facts = model_facts(Tied(), torch.randint(5, (2, 3)))
    assert facts.parameters == 15
    assert facts.size_mb == pytest.approx((15 + 6 + 3) * 4 / 1e6)
    half = model_facts(nn.BatchNorm1d(10).half(), torch.rand(2, 10).half())
    assert (half.parameters, half.size_mb) == (20, pytest.approx((40 * 2 + 8) / 1e6))


def test_a_model_without_parameters_is_measured() -> None:
    facts = model_facts(nn.Flatten(), torch.rand(2, 3, 3))
    assert (facts.parameters, facts.size_mb) == (0, 0.0)
    assert facts.latency_one_ms > 0


def test_an_example_without_samples_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"no batch of samples; expected \(N, \.\.\.\), got \(0, 2\)"):
        model_facts(nn.Linear(2, 2), torch.rand(0, 2))
