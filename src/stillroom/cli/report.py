"""``stillroom report``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", help="a run folder or a comparison")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")


def run(arguments: Namespace) -> None:
    import rich

    from stillroom.reports import markdown, table, write_report

    path = write_report(arguments.folder)
    if arguments.markdown:
        print(markdown(arguments.folder))
    else:
        rich.print(table(arguments.folder))
    print(f"Report: {path}")
