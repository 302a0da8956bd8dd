"""``stillroom export``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stillroom.cli.words import add_out, add_source


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument(
        "--format",
        nargs="+",
        metavar="FORMAT",
        help="safetensors, onnx, torch (default: all; safetensors alone for a detector that is no YOLOv3)",
    )
    parser.add_argument(
        "--nms",
        action="store_true",
        help="of YOLOv3: with the choice among overlapping boxes; without: all of them",
    )
    add_out(parser, "the folder to write model.* into (default: export/ beside the model)")


def run(arguments: Namespace) -> None:
    from stillroom.runs.load import find_source
    from stillroom.runs.use import export_source, what_it_ships

    out = find_source(arguments.source).folder / "export" if arguments.out is None else Path(arguments.out)
    for path, difference in export_source(
        arguments.source, arguments.format, out=out, overrides=arguments.override, nms=arguments.nms
    ).items():
        print(f"{path}: largest difference from the PyTorch model {difference:.2g}")
    if said := what_it_ships(arguments.source):
        print(said)
