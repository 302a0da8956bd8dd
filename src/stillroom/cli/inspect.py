"""``stillroom inspect``"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from stillroom.cli.words import add_overrides


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", help="a recipe, a run folder, checkpoint or model file, a class path, or a torchvision or timm name"
    )
    add_overrides(parser, "change the recipe (-o student.class_path=torchvision.models.mobilenet_v2)")
    parser.add_argument("--teacher", action="store_true", help="of a recipe look into the teacher's model")
    parser.add_argument("--input", type=_shape, metavar="C,H,W", help="shape of one input (default: the data's)")


def run(arguments: Namespace) -> None:
    import rich
    from rich.table import Table

    from stillroom.runs.use import inspect_model

    table = Table("site", "type", "output", box=None, header_style="bold")
    table.add_column("calls", justify="right")
    table.add_column("parameters", justify="right")
    found = inspect_model(
        arguments.model, teacher=arguments.teacher, shape=arguments.input, overrides=arguments.override
    )
    for info in found:
        site = info.site or "(the model's output)"
        table.add_row(site, info.kind, info.output or "did not run", str(info.calls), f"{info.parameters:,}")
    rich.print(table)


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers such as 3,32,32, got {text!r}") from None
