"""What importing the package needs, and what it shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stillroom

OTHERS = (
    *("lightning", "torchvision", "timm", "torchmetrics", "jsonargparse", "safetensors", "rich", "sklearn"),
    *("matplotlib", "yaml", "jinja2", "tensorboardX", "numpy", "onnx", "scipy", "PIL", "pandas", "transformers"),
)

WITH_TORCH_ALONE = f"""
import sys

finders = sys.meta_path[:]

class WithoutOthers:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {OTHERS!r}:
            return next((spec for finder in finders if (spec := finder.find_spec(name, path, target))), None)

sys.meta_path[:] = [WithoutOthers]

import torch
import stillroom as kd

body = lambda width: torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU(), torch.nn.Linear(width, 3))
student, teacher, images = body(4), body(8), torch.randn(16, 6)
distiller = kd.Distiller(student, teacher, terms={{
    "kl": kd.Term(kd.losses.KLDivergence(tau=4.0), weight=0.9),
    "hint": kd.Term(kd.losses.L2(), student="0", teacher="0", connector="auto"),
}})
distiller.prepare(images)
optimizer = torch.optim.SGD(distiller.parameters(), lr=0.05, momentum=0.9)
losses = []
for _ in range(20):
    out = distiller(images)
    optimizer.zero_grad()
    out.loss.backward()
    optimizer.step()
    losses.append(out.loss.item())
assert losses[-1] < losses[0], losses
with kd.record(student, hidden="1") as seen:
    student(images)
assert seen["hidden"].shape == (16, 4)
assert not [name for name in sys.modules if name.partition(".")[0] in {OTHERS!r}]
try:
    kd.distill
except ModuleNotFoundError as error:
    print(error)
"""


def test_distilling_in_ones_own_loop_needs_torch_alone() -> None:
    warnings = ["-W", "error", "-W", "ignore:Failed to initialize NumPy"]  # torch's own, where there is none
    done = subprocess.run([sys.executable, *warnings, "-c", WITH_TORCH_ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("No module named")


def test_every_public_name_is_there() -> None:
    assert [name for name in stillroom.__all__ if getattr(stillroom, name, None) is None] == []


def test_runs_are_found_when_they_are_used() -> None:
    from stillroom import runs

    assert stillroom.distill is runs.distill


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match=r"^module 'stillroom' has no attribute 'distil'$"):
        stillroom.distil  # noqa: B018
