"""What each loss costs beside its plain formula: time forward and backward, and the most memory held at once.

Both compute the same: value and gradients are compared in float64, on the shapes that are timed, before anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from formulas import PAIRS
from measure import CONTROL, Block, NoisyMachineError, Timings, interleave, write_json
from memory import peak_bytes
from pairs import OURS, PLAIN, Arm, Pair, arms, expect_agreement
from stillroom.models import resnet8x4
from stillroom.runs.machine import hardware, now, versions
from works import Work

WIDTH = 170
RESULTS = Path(__file__).parent / "results" / "losses.json"
SECONDS = 0.2  # that a block takes, if a step takes less
MIB = 2**20


def student_alone() -> Arm:
    """The control."""
    model, images, labels = resnet8x4(num_classes=100), torch.randn(16, 3, 32, 32), torch.randint(100, (16,))
    return Arm(value=lambda: F.cross_entropy(model(images), labels), leaves=list(model.parameters()))


def block(arm: Arm, seconds: float = SECONDS) -> Block:
    """The mean over as many steps as take about that long."""
    times: list[float] = []
    for _ in range(2):
        start = perf_counter()
        arm.step()
        times.append(perf_counter() - start)
    steps = max(1, round(seconds / min(times)))

    def run() -> float:
        start = perf_counter()
        for _ in range(steps):
            arm.step()
        return (perf_counter() - start) / steps

    return run


def measured(
    pair: Pair, work: Work, *, rounds: int, tolerance: float = 0.1, seconds: float = SECONDS
) -> tuple[Timings, dict[str, int]]:
    """Compares what both compute, then times them, and then looks at their memory, in bytes."""
    expect_agreement(arms(pair, work, torch.float64))
    both = arms(pair, work)
    blocks = {name: block(arm, seconds) for name, arm in both.items()}
    timings = interleave(blocks, block(student_alone(), seconds), rounds=rounds, tolerance=tolerance)
    peaks: dict[str, int] = {}
    for name, arm in both.items():
        arm.forget()
        peaks[name] = peak_bytes(arm.step)
    return timings, peaks


def summary(work: Work, timings: Timings, peaks: Mapping[str, int]) -> dict[str, Any]:
    """The figures of one loss on one work, as they are written; ratios are ours by the plain formula's."""
    of_arms = {
        arm: {
            "seconds_min": timings.best(arm),
            "seconds_median": timings.typical(arm),
            "peak_bytes": peaks[arm],
            "seconds": timings.seconds[arm],
        }
        for arm in (OURS, PLAIN)
    }
    ratios = timings.ratios(OURS, PLAIN)
    return {
        "work": work.name,
        "rounds": len(timings.seconds[OURS]),
        "void_rounds": timings.void,
        "control_seconds_min": timings.best(CONTROL),
        "arms": of_arms,
        "ratio_of_minima": ratios[0],
        "ratio_median": ratios[1],
        "ratio_of_peaks": peaks[OURS] / peaks[PLAIN],
    }


def table(conditions: str, facts: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    made = Table(title=f"forward and backward, ms, and peak MiB; {conditions}", title_justify="left")
    for column in ("loss", "on"):
        made.add_column(column)
    for column in ("ours min", "median", "plain min", "median", "x plain (min)", "(median)"):
        made.add_column(column, justify="right")
    for column in ("ours MiB", "plain MiB", "x plain"):
        made.add_column(column, justify="right")
    for name, of_works in facts.items():
        for figures in of_works:
            both = [figures["arms"][arm] for arm in (OURS, PLAIN)]
            made.add_row(
                name,
                figures["work"],
                *(f"{1e3 * arm[key]:.3f}" for arm in both for key in ("seconds_min", "seconds_median")),
                *(f"{figures[key]:.2f}" for key in ("ratio_of_minima", "ratio_median")),
                *(f"{arm['peak_bytes'] / MIB:.2f}" for arm in both),
                f"{figures['ratio_of_peaks']:.2f}",
            )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", nargs="+", choices=[*PAIRS], default=[*PAIRS], metavar="LOSS", help="these alone")
    parser.add_argument("--rounds", type=int, default=9, help="valid rounds; figures to be quoted need 9 or more")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures are written")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is 1 or more, not {options.rounds}")
    torch.set_num_threads(options.threads)
    # A file or a pipe is no terminal of 80 columns: nothing of the table is cut there.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    facts, noisy = {name: [] for name in options.loss}, []
    for name in options.loss:
        for work in PAIRS[name].works:
            with console.status(f"{name}, {work.name}"):
                try:
                    found = measured(PAIRS[name], work, rounds=options.rounds)
                except NoisyMachineError as error:
                    noisy.append(f"{name}, {work.name}: {error}")
                    continue
            facts[name].append(summary(work, *found))
    machine = hardware(torch.device("cpu"))
    console.print(table(f"{machine}; {options.rounds} rounds", facts))
    conditions = {"date": now(), "versions": versions(), "hardware": machine}
    write_json(options.json, {"benchmark": "losses", **conditions, "losses": facts})
    for line in noisy:
        print(line, file=sys.stderr)
    return 2 if noisy else 0


if __name__ == "__main__":
    sys.exit(main())
