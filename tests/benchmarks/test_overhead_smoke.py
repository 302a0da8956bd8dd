"""The benchmark runs; nothing is said about its figures, which a shared machine cannot vouch for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_overhead_of_the_mlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every arm trains on the same losses, and the figures of all of them are written."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import overhead

    timings = overhead.measured(replace(overhead.SIZES["mlp"], steps=3, warm_up=1), rounds=1, tolerance=1e9)
    figures = overhead.summary("mlp", timings)
    assert overhead.table("mlp", figures).row_count == len(figures["arms"]) == 6
    overhead.write_json(tmp_path / "results" / "overhead.json", figures)
    arms = json.loads((tmp_path / "results" / "overhead.json").read_text())["arms"]
    assert {"student alone", "by hand", "Distiller", "stillroom train"} < set(arms)
    assert all(figures["seconds_min"] > 0 for figures in arms.values())
    assert arms["Distiller"]["target"] == "+ 12 us"
