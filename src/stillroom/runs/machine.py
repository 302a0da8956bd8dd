"""What a run was made on and with."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

import torch


def hardware(device: torch.device) -> str:
    """The processor in words: ``"CPU: 2 x Intel Xeon ..."`` or ``"GPU: NVIDIA H200"``."""
    if device.type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{device.type} on {platform.machine()}"
    return f"CPU: {torch.get_num_threads()} threads of {cpu_count()}, {_processor()}"


def versions() -> dict[str, str]:
    packages = ("stillroom", "torch", "torchvision", "lightning")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
