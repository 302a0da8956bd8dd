"""``stillroom methods``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("name", nargs="?", metavar="NAME", help="explain this loss: its formula, arguments and shapes")
    what.add_argument("--markdown", action="store_true", help="print the table as Markdown")


def run(arguments: Namespace) -> None:
    import rich
    from rich.table import Table

    from stillroom.reports import methods

    if arguments.name is not None:
        print(methods.explanation(arguments.name), end="")
    elif arguments.markdown:
        print(methods.markdown(), end="")
    else:
        rows = methods.rows()
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
        for column in zip(methods.HEADER, *rows, strict=True):
            # As narrow as its words allow, but for the two of sentences: then 80 columns hold it, and nothing is cut.
            word = max(len(word) for cell in column for word in cell.split())
            table.add_column(column[0], width=None if column[0] in ("costs", "paper") else word, overflow="fold")
        for row in rows:
            table.add_row(*row)
        rich.print(table)
