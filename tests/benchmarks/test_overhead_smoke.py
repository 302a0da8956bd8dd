"""The benchmark runs; nothing is said about its figures, which a shared machine cannot vouch for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*in eval mode at the start.*")
def test_overhead_of_the_mlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every arm trains on the same losses, and the figures of all of them are written."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import overhead

    small = overhead.replace(overhead.SIZES["mlp"], steps=3, warm_up=1)
    monkeypatch.setitem(overhead.SIZES, "mlp", small)
    timings = overhead.measured(small, rounds=1, tolerance=1e9)
    figures = overhead.summary("mlp", timings)
    overhead.write_json(tmp_path / "overhead.json", figures)
    assert {"by hand", "Distiller", "stillroom train"} <= set(figures["arms"])
    assert json.loads((tmp_path / "overhead.json").read_text())["arms"]["Distiller"]["seconds_min"] > 0
    assert "overhead" in sys.modules
