"""Every loss has a plain formula to be timed beside, and both compute the same."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stillroom import losses

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PUBLIC = [name for name in losses.__all__ if inspect.isclass(getattr(losses, name))]
LOSSES = [name for name in PUBLIC if issubclass(getattr(losses, name), nn.Module)]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_its_plain_formula(name: str) -> None:
    """In float64, with few samples and pixels; at the full size that is checked before it is timed."""
    from formulas import PAIRS
    from pairs import arms, expect_agreement

    pairs = [pair for key, pair in PAIRS.items() if key.partition(",")[0] == name]
    assert pairs, f"benchmarks/formulas.py has no plain formula for {name}"
    for pair in pairs:
        for work in pair.works:
            both = arms(pair, work.small(), torch.float64)
            assert isinstance(pair.ours(work.small().calls[0]), getattr(losses, name))
            expect_agreement(both, 1e-9)


def test_no_formula_is_left_of_a_loss_that_is_gone() -> None:
    from formulas import PAIRS

    assert {key.partition(",")[0] for key in PAIRS} == set(LOSSES)


def doubled_gradient(s: Tensor, t: Tensor) -> Tensor:
    value = (s - t).square().mean()
    return 2 * value - value.detach()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, t: (s - t).square().mean() * (1 + 1e-4), "Scalars are not close"),
        (doubled_gradient, "^gradient 0: they differ by"),
    ],
)
def test_a_wrong_formula_is_not_timed(wrong: object, message: str) -> None:
    import losses as benchmark
    from formulas import PAIRS
    from works import POOLED

    pair = replace(PAIRS["L2"], plain=wrong)
    with pytest.raises(AssertionError, match=message):
        benchmark.measured(pair, POOLED, rounds=1)


def test_figures_are_written(tmp_path: Path) -> None:
    import losses as benchmark
    from formulas import PAIRS
    from works import POOLED

    work = POOLED.small()
    found = benchmark.measured(PAIRS["SRD"], work, rounds=2, tolerance=1e9, seconds=0.0)
    facts = {"SRD": [benchmark.summary(work, *found)]}
    assert benchmark.table("here", facts).row_count == 1
    benchmark.write_json(tmp_path / "losses.json", facts)
    figures = json.loads((tmp_path / "losses.json").read_text())["SRD"][0]
    assert figures["rounds"] == 2
    assert all(arm["seconds_min"] > 0 and arm["peak_bytes"] > 0 for arm in figures["arms"].values())


def test_peak_is_what_was_held_at_once() -> None:
    """Within 100 bytes, for a number in Python becomes a tensor too."""
    from memory import peak_bytes

    x = torch.ones(1000)

    def one_by_one() -> None:
        y = x + 1
        y = y + 1
        _ = y + 1

    def at_once() -> list[Tensor]:
        return [x + 1, x + 1, x + 1]

    def inside_a_kernel() -> Tensor:
        return x.median()  # of a copy, which no operation returns

    assert 8000 <= peak_bytes(one_by_one) < 8100
    assert 12000 <= peak_bytes(at_once) < 12100
    assert peak_bytes(inside_a_kernel) >= 4000
    assert peak_bytes(at_once) == peak_bytes(at_once)
