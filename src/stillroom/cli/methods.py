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
        # The kind is a heading; costs and recipes are left to the page and to the explanation of one loss. So 80
        # columns hold it, each as narrow as its words allow, but for the paper.
        places = [place for place, name in enumerate(methods.HEADER) if name not in ("kind", "costs", "recipes")]
        every = methods.rows()
        header, *rows = ([row[place] for place in places] for row in (methods.HEADER, *every))
        kinds = [row[methods.HEADER.index("kind")] for row in every]
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
        for column in zip(header, *rows, strict=True):
            word = max(len(word) for cell in column for word in cell.split())
            table.add_column(column[0], width=None if column[0] == "paper" else word, overflow="fold")
        for before, kind, row in zip([None, *kinds], kinds, rows, strict=False):
            if kind != before:
                table.add_row()
                table.add_row(f"[bold]{kind}[/]")
            table.add_row(*row)
        rich.print(table)
