"""``stillroom infer``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.words import add_source

TOP = 5


def add_arguments(parser: ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of such")
    parser.add_argument(
        "--top", type=int, metavar="N", help="classes to name, or boxes (default: 5 classes, all boxes)"
    )


def run(arguments: Namespace) -> None:
    from stillroom.runs.detect import detect, is_detector
    from stillroom.runs.use import classify

    source, images, words = arguments.source, arguments.images, arguments.override
    if is_detector(source):
        for found in detect(source, images, top=arguments.top, overrides=words):
            print(f"{found.image}: {len(found.boxes)} boxes")
            for box in found.boxes:
                corners = ", ".join(f"{corner:.1f}" for corner in box.corners)
                print(f"  {box.name} {100 * box.score:.1f} % ({corners})")
        return
    for guess in classify(source, images, top=TOP if arguments.top is None else arguments.top, overrides=words):
        print(f"{guess.image}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in guess.classes))
