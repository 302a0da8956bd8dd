"""The most memory that a computation on the CPU holds at once, beyond what was there before it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.profiler import ProfilerActivity, profile

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would write of GPUs that are not there


def peak_bytes(work: Callable[[], object]) -> int:
    """The largest sum of what torch's allocator gave out since the start and had not got back, in bytes.

    The allocator says itself what it gives and what comes back, so that results, saved tensors, gradients and what a
    kernel takes for itself are all counted, and equal computations give equal numbers. What the BLAS library or
    Python hold is not seen.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]" and event["args"]["Device Type"] == 0]
    live = most = 0
    for event in sorted(changes, key=lambda event: event["ts"]):
        live += event["args"]["Bytes"]
        most = max(most, live)
    return most
