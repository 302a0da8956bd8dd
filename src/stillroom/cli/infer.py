"""``stillroom infer``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.words import add_source


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of such")
    parser.add_argument("--top", type=int, metavar="N", default=5, help="classes to name (default: 5)")


def run(arguments: Namespace) -> None:
    from stillroom.runs.use import classify

    for guess in classify(arguments.source, arguments.images, top=arguments.top, overrides=arguments.override):
        print(f"{guess.image}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in guess.classes))
