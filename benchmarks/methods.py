"""Every variant of a recipe over several seeds against its variant ``alone``, as one table in Markdown.

All of them have the recipe's budget, and one teacher, which is trained where it is kept: ``runs/teachers``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from measure import write_json
from stillroom.recipes import find_recipe
from stillroom.reports import RunResults, read_run
from stillroom.runs import read_recipe, train
from stillroom.runs.folder import is_finished
from stillroom.runs.machine import now, versions

RESULTS = Path(__file__).parent / "results" / "methods.json"
ALONE = "alone"
Runs = Mapping[str, Sequence[RunResults]]


def run_all(recipe: str, variants: Sequence[str], seeds: Sequence[int], folder: Path) -> dict[str, list[RunResults]]:
    """Train what is not there yet; every run is a folder like any."""
    found: dict[str, list[RunResults]] = {}
    for variant in variants:
        for seed in seeds:
            place = folder / f"{variant}-{seed}"
            if not is_finished(place):
                train(read_recipe(recipe, [f"variant={variant}", f"seed={seed}", "trainer.progress=false"]), out=place)
            found.setdefault(variant, []).append(read_run(place))
        print(variant, *(f"{100 * share:.2f}" for share in last(found[variant])), flush=True)
    return found


def last(runs: Sequence[RunResults]) -> list[float]:
    return [run.test.last.accuracy or 0.0 for run in runs if run.test is not None]


def best(runs: Sequence[RunResults]) -> list[float]:
    return [run.test.best.accuracy or 0.0 for run in runs if run.test is not None]


def points(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and sample deviation of shares, in points."""
    mean, form = round(100 * statistics.fmean(values), 2) + 0.0, "+.2f" if signed else ".2f"  # no -0.00
    return f"{mean:{form}} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:{form}}"


def markdown(runs: Runs) -> str:
    header = ["variant", "last epoch, %", "best epoch, %", "last epoch minus alone", "parameters"]
    rows = [[name, *_cells(found, runs[ALONE])] for name, found in runs.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---", *["---:"] * 4], *rows))


def _cells(runs: Sequence[RunResults], alone: Sequence[RunResults]) -> list[str]:
    gains = [mine - other for mine, other in zip(last(runs), last(alone), strict=True)]
    gain = "" if runs is alone else points(gains, signed=True)
    return [points(last(runs)), points(best(runs)), gain, f"{runs[0].model.parameters:,}"]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--config", default="digits-method", help="a recipe with variants, one of them alone")
    parser.add_argument("--variants", nargs="*", help="which ones, beside alone (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/methods"), help="folder of the runs; kept ones count")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args(words)
    known = list(yaml.safe_load(find_recipe(arguments.config).read_text(encoding="utf-8"))["variants"])
    wanted = [name for name in known if name == ALONE or not arguments.variants or name in arguments.variants]
    runs = run_all(arguments.config, wanted, range(arguments.seeds), arguments.out)
    facts = {"date": now(), "hardware": runs[ALONE][0].hardware, "versions": versions(), "recipe": arguments.config}
    values = {name: {"last": last(found), "best": best(found)} for name, found in runs.items()}
    write_json(arguments.json, {**facts, "seeds": arguments.seeds, "test accuracy": values})
    print(markdown(runs))


if __name__ == "__main__":
    main()
