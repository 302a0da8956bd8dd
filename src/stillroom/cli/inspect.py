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
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--functions", action="store_true", help="list the functions of PyTorch that it calls (FunctionOutputs)"
    )
    what.add_argument("--parameters", action="store_true", help="list its parameters (Parameter)")


def run(arguments: Namespace) -> None:
    import rich
    from rich.table import Table

    from stillroom.runs.use import inspect_model

    found = inspect_model(
        arguments.model, teacher=arguments.teacher, shape=arguments.input, overrides=arguments.override
    )
    table = Table(box=None, header_style="bold")
    if arguments.functions:
        table.add_column("function")
        table.add_column("calls", justify="right")
        for function in found.functions:
            table.add_row(function.path, str(function.calls))
    elif arguments.parameters:
        table.add_column("parameter")
        table.add_column("shape")
        for parameter in found.parameters:
            table.add_row(parameter.path, parameter.shape)
    else:
        for column in ("site", "type", "output"):
            table.add_column(column)
        table.add_column("calls", justify="right")
        table.add_column("parameters", justify="right")
        for info in found.sites:
            site = info.site or "(the model's output)"
            table.add_row(site, info.kind, info.output or "did not run", str(info.calls), f"{info.parameters:,}")
    rich.print(table)


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers such as 3,32,32, got {text!r}") from None
