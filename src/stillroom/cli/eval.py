"""``stillroom eval``"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stillroom.cli.words import add_source

if TYPE_CHECKING:
    from stillroom.runs.evaluate import Evaluation
    from stillroom.runs.sizes import AtSize

TOLD = ("AP50 11-point", "AP50 area", "AP")
"""Of a detector's measures those that a row for each size holds."""

PerClass = Mapping[str, Mapping[str, float]]


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="which split (default: test)")
    parser.add_argument(
        "--sizes", type=_sizes, metavar="S,S,...", help="of a detector: one row for each side of the input in pixels"
    )
    parser.add_argument(
        "--every-class", action="store_true", help="the classes at every size, and not at the first one alone"
    )


def run(arguments: Namespace) -> None:
    from stillroom.runs.evaluate import named
    from stillroom.runs.load import find_source
    from stillroom.runs.sizes import evaluate_sizes
    from stillroom.runs.use import evaluate_source

    source, split, words = arguments.source, arguments.split, arguments.override
    names = find_source(source).card.extra.get("class_names")
    if arguments.sizes is not None:
        rows = evaluate_sizes(source, arguments.sizes, split=split, overrides=words)
        _show_sizes(split, rows)
        for row in rows if arguments.every_class else rows[:1]:
            _show_classes(f"{row.size} pixels", named(row.found, names))
        return
    found = evaluate_source(source, split=split, overrides=words)
    print(f"{split}: {_line(found)}")
    if found.details:
        print(", ".join(f"{name} {100 * value:.2f} %" for name, value in found.details.items()))
    _show_classes("By class", named(found, names))


def _line(found: Evaluation) -> str:
    chance = f" (always naming the largest class: {100 * found.chance:.1f} %)" if found.chance else ""
    top5 = "" if found.top5 is None else f"top-5 {100 * found.top5:.2f} %, "
    return f"{found.metric} {100 * found.accuracy:.2f} %, {top5}loss {found.loss:.4f}, {found.count:,} samples{chance}"


def _show_sizes(split: str, rows: Sequence[AtSize]) -> None:
    metric = rows[0].found.metric
    cells = [
        [
            str(row.size),
            *(_percent(value) for value in (row.found.accuracy, *(row.found.details.get(name) for name in TOLD))),
            f"{row.images_per_second:.1f}",
        ]
        for row in rows
    ]
    title = f"{split}: {rows[0].found.count:,} samples"
    _show(title, ["size", f"{metric}, %", *(f"{name}, %" for name in TOLD), "images per s"], cells)


def _show_classes(title: str, classes: PerClass) -> None:
    names = list(dict.fromkeys(name for values in classes.values() for name in values))
    cells = [[label, *(_percent(values.get(name)) for name in names)] for label, values in classes.items()]
    if cells:
        _show(title, ["%", *names], cells)


def _show(title: str, header: list[str], rows: list[list[str]]) -> None:
    import rich

    from stillroom.reports import Cells, to_terminal

    rich.print(to_terminal(Cells(title, header, rows, [])))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _sizes(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(
            f"expected whole numbers with commas between, such as 608,416,320; got {text!r}"
        ) from None
