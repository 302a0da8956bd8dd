"""The cost of the framework: the same training by hand, with a Distiller, and through ``stillroom train``.

All three train the same student from the same weights on the same batches: cross entropy, KL divergence at temperature
4, and the squared error of one feature. Their losses are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from arms import BATCH, DISTILLER, HAND, TRAIN, Batch, Loop, Size, loops
from measure import CONTROL, Block, NoisyMachineError, Timings, interleave, write_json
from stillroom.models import resnet8x4, resnet32x4
from stillroom.runs.machine import hardware, now, versions

RESULTS = Path(__file__).parent / "results" / "overhead.json"


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))


SIZES: Mapping[str, Size] = {
    "mlp": Size(
        student=mlp,
        teacher=mlp,
        site="1",
        shape=(32,),
        classes=10,
        threads=1,
        steps=200,
        warm_up=20,
    ),
    "real": Size(
        student=resnet8x4,
        teacher=resnet32x4,
        site="layer3",
        shape=(3, 32, 32),
        classes=100,
        threads=2,
        steps=4,
        warm_up=1,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an arm may cost beyond the loop by hand: a ratio, or so many microseconds."""

    ratio: float = math.inf
    extra_us: float = math.inf

    def __str__(self) -> str:
        return f"x {self.ratio}" if self.ratio < math.inf else f"+ {self.extra_us:g} us"

    def met(self, ratio: float, extra_us: float) -> bool:
        return ratio <= self.ratio and extra_us <= self.extra_us


SITES = 2
TARGETS: Mapping[tuple[str, str], Target] = {
    ("mlp", DISTILLER): Target(extra_us=10 + SITES),
    ("real", DISTILLER): Target(ratio=1.01),
    ("real", TRAIN): Target(ratio=1.03),
}


def expect_equal_losses(arms: Mapping[str, Loop], batches: Sequence[Batch], tolerance: float = 1e-6) -> None:
    """Trains a few steps with every arm.

    Raises:
        AssertionError: an arm's loss differs from the one by hand by more than ``tolerance`` of it.
    """
    found: dict[str, list[float]] = {name: [] for name in arms}
    for name, loop in arms.items():
        loop(batches, lambda loss, name=name: found[name].append(loss.item()))
    for name, losses in found.items():
        pairs = zip(losses, found[HAND], strict=True)
        if name != CONTROL and not all(math.isclose(a, b, rel_tol=tolerance) for a, b in pairs):
            raise AssertionError(f"{name} trains on other losses than {HAND}: {losses} and {found[HAND]}")


def block(loop: Loop, batches: Sequence[Batch], warm_up: int) -> Block:
    """Seconds per step between the end of the last step of the warm-up and that of the last step of all."""

    def run() -> float:
        ends: list[float] = []
        loop(batches, lambda _: ends.append(perf_counter()))
        return (ends[-1] - ends[warm_up - 1]) / (len(ends) - warm_up)

    return run


def measured(size: Size, *, rounds: int, tolerance: float = 0.1) -> Timings:
    """Compares the losses, then times all arms, with as many threads as torch has now."""
    arms = loops(size)
    torch.manual_seed(1)
    batches = size.batches()
    expect_equal_losses(arms, batches[:3])
    blocks = {name: block(loop, batches, size.warm_up) for name, loop in arms.items()}
    control = blocks.pop(CONTROL)
    return interleave(blocks, control, rounds=rounds, tolerance=tolerance)


def summary(name: str, timings: Timings) -> dict[str, Any]:
    """The figures of one size, as they are written; a target is held against the medians."""
    arms: dict[str, Any] = {}
    for arm, seconds in timings.seconds.items():
        figures = {"seconds_min": timings.best(arm), "seconds_median": timings.typical(arm)}
        ratio, extra = timings.ratios(arm, HAND), [1e6 * seconds for seconds in timings.extra(arm, HAND)]
        figures |= {"ratio_of_minima": ratio[0], "ratio_median": ratio[1]}
        figures |= {"extra_us_of_minima": extra[0], "extra_us_median": extra[1]}
        if (name, arm) in TARGETS:
            target = TARGETS[name, arm]
            figures |= {"target": str(target), "met": target.met(ratio[1], extra[1])}
        arms[arm] = {**figures, "seconds": seconds}
    conditions = {"hardware": hardware(torch.device("cpu")), "batch": BATCH, "steps_per_round": SIZES[name].steps}
    return {**conditions, "rounds": len(timings.seconds[HAND]), "void_rounds": timings.void, "arms": arms}


def table(name: str, facts: Mapping[str, Any]) -> Table:
    title = f"{name}: us per step; {facts['hardware']}; {facts['rounds']} rounds, {facts['void_rounds']} void"
    made = Table(title=title, title_justify="left")
    for column in ("", "min", "median", "x by hand (min)", "(median)", "+ us (min)", "(median)", "target", "met"):
        made.add_column(column, justify="left" if not column else "right")
    for arm, figures in facts["arms"].items():
        made.add_row(
            arm,
            *(f"{1e6 * figures[key]:.1f}" for key in ("seconds_min", "seconds_median")),
            *(f"{figures[key]:.4f}" for key in ("ratio_of_minima", "ratio_median")),
            *(f"{figures[key]:.1f}" for key in ("extra_us_of_minima", "extra_us_median")),
            figures.get("target", ""),
            {True: "yes", False: "no"}.get(figures.get("met"), ""),
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=9, help="valid rounds; figures to be quoted need 9 or more")
    parser.add_argument("--threads", type=int, help="of torch, in place of the size's own (mlp 1, real 2)")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures are written")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is 1 or more, not {options.rounds}")
    console, sizes = Console(), {}
    for name in SIZES if options.size == "all" else [options.size]:
        torch.set_num_threads(options.threads or SIZES[name].threads)
        try:
            timings = measured(SIZES[name], rounds=options.rounds)
        except NoisyMachineError as error:
            parser.exit(2, f"{name}: {error}\n")
        sizes[name] = summary(name, timings)
        console.print(table(name, sizes[name]))
    write_json(options.json, {"benchmark": "overhead", "date": now(), "versions": versions(), "sizes": sizes})
    return 0 if all(figures.get("met", True) for size in sizes.values() for figures in size["arms"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
