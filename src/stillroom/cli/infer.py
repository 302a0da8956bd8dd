"""``stillroom infer``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.words import add_out, add_source
from stillroom.errors import StillroomError

TOP, THRESHOLD = 5, 0.5


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of such")
    parser.add_argument(
        "--top", type=int, metavar="N", help="classes to name, or boxes (default: 5 classes, all boxes)"
    )
    add_out(parser, "of a detector: a new folder for images with boxes, and detections.json")
    parser.add_argument(
        "--draw-threshold",
        type=float,
        metavar="S",
        help=f"with --out: draw boxes of at least this score (default: {THRESHOLD}); the JSON holds all",
    )


def run(arguments: Namespace) -> None:
    from stillroom.runs.detect import is_detector

    if arguments.draw_threshold is not None and arguments.out is None:
        raise StillroomError("there is nowhere to draw", where="--draw-threshold", fix="Name a folder: --out FOLDER.")
    if not is_detector(arguments.source):
        if arguments.out is not None:
            raise StillroomError("a classifier finds no boxes to draw", where="--out", fix="Leave it out.")
        _classify(arguments)
    elif arguments.out is None:
        _detect(arguments)
    else:
        _draw(arguments)


def _classify(arguments: Namespace) -> None:
    from stillroom.runs.use import classify

    top = TOP if arguments.top is None else arguments.top
    for guess in classify(arguments.source, arguments.images, top=top, overrides=arguments.override):
        print(f"{guess.image}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in guess.classes))


def _detect(arguments: Namespace) -> None:
    from stillroom.runs.detect import detect

    for found in detect(arguments.source, arguments.images, top=arguments.top, overrides=arguments.override):
        print(f"{found.image}: {len(found.boxes)} boxes")
        for box in found.boxes:
            corners = ", ".join(f"{corner:.1f}" for corner in box.corners)
            print(f"  {box.name} {100 * box.score:.1f} % ({corners})")


def _draw(arguments: Namespace) -> None:
    from stillroom.runs.detect import FILE, draw

    threshold = THRESHOLD if arguments.draw_threshold is None else arguments.draw_threshold
    done = draw(
        arguments.source,
        arguments.images,
        out=arguments.out,
        threshold=threshold,
        top=arguments.top,
        overrides=arguments.override,
    )
    for each in done:
        print(f"{each.copy}: {each.shown} of {len(each.found.boxes)} boxes in {each.found.image}")
    print(done[0].copy.with_name(FILE))
