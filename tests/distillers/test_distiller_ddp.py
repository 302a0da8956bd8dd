"""Two processes under DistributedDataParallel equal one on the joint batch."""

from __future__ import annotations

from pathlib import Path

import distil_processes
import torch


def test_two_processes_equal_one(tmp_path: Path) -> None:
    expected = distil_processes.in_one()
    assert "gradient of connectors.hint.linear.weight" in expected
    assert all(value.any() for value in expected.values())
    for found in distil_processes.in_two(tmp_path):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
