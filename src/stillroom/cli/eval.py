"""``stillroom eval``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.words import add_source


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="which split (default: test)")


def run(arguments: Namespace) -> None:
    from stillroom.runs.use import evaluate_source

    found = evaluate_source(arguments.source, split=arguments.split, overrides=arguments.override)
    chance = f" (always naming the largest class: {100 * found.chance:.1f} %)" if found.chance else ""
    top5 = "" if found.top5 is None else f"top-5 {100 * found.top5:.2f} %, "
    print(
        f"{arguments.split}: {found.metric} {100 * found.accuracy:.2f} %, {top5}loss {found.loss:.4f}, "
        f"{found.count:,} samples{chance}"
    )
