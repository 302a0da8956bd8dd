"""``stillroom inspect``"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillroom.cli.words import add_overrides
from stillroom.errors import StillroomError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stillroom.programs import TensorInfo
    from stillroom.recorders import CallInfo, SiteInfo
    from stillroom.runs.look import Specimen


def add_arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s [options] MODEL [OTHER]"  # argparse would put all that exclude each other into one line
    parser.add_argument(
        "model", help="a recipe, a run folder, checkpoint or model file, a class path, or a torchvision or timm name"
    )
    parser.add_argument("other", nargs="?", help="the model for --cka and --draw beside it (default: its own teacher)")
    add_overrides(parser, "change the recipe (-o student.class_path=torchvision.models.mobilenet_v2)")
    parser.add_argument("--teacher", action="store_true", help="of a recipe look into the teacher's model")
    parser.add_argument("--input", type=_shape, metavar="C,H,W", help="shape of one input (default: the data's)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--tree", action="store_true", help="draw its modules as a tree")
    what.add_argument("--tensors", action="store_true", help="list every tensor of its program, by name")
    what.add_argument(
        "--functions", action="store_true", help="list the functions and methods that it calls (FunctionOutputs, ...)"
    )
    what.add_argument("--parameters", action="store_true", help="list its parameters (Parameter)")
    what.add_argument("--cka", action="store_true", help="draw how alike its layers and those of the other one are")
    what.add_argument(
        "--draw",
        nargs=2,
        metavar=("SITE", "IMAGE"),
        help="draw what both make of an image at a site (SITE,OTHERS where they differ)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="where a drawing goes (default: named after it)")


def run(arguments: Namespace) -> None:
    import rich

    from stillroom.runs.look import inspect_model, list_tensors, specimen

    words = arguments.override
    found = specimen(arguments.model, teacher=arguments.teacher, shape=arguments.input, overrides=words)
    if arguments.cka or arguments.draw:
        _draw(arguments, found)
        return
    if arguments.other is not None:
        fix = "Compare them with --cka or --draw."
        raise StillroomError("one model is listed at a time", where="inspect", got=arguments.other, fix=fix)
    if arguments.tensors:
        columns = ("tensor", "operation", "shape", "dtype", ">bytes", ">multiply-adds")
        rich.print(_table(columns, map(_tensor, list_tensors(found))))
        return
    inside = inspect_model(found)
    if arguments.functions:
        rich.print(_table(("path", "kind", ">eval", ">train"), map(_call, inside.calls)))
    elif arguments.parameters:
        rich.print(_table(("parameter", "shape"), ((each.path, each.shape) for each in inside.parameters)))
    elif arguments.tree:
        rich.print(_tree(inside.sites))
    else:
        rich.print(_table(("site", "type", "output", ">calls", ">parameters"), map(_site, inside.sites)))


def _draw(arguments: Namespace, found: Specimen) -> None:
    from stillroom.reports.drawing import draw_likeness, draw_maps
    from stillroom.runs.look import compared, own_teacher, seen, specimen

    name, words = Path(arguments.model).stem, arguments.override
    if arguments.other is None:
        other = own_teacher(arguments.model, words)
    else:
        other = specimen(arguments.other, shape=arguments.input).model
    if arguments.cka:
        path = arguments.out or Path(f"{name}-cka.png")
        alike = compared(found, other)
        draw_likeness(path, alike.matrix, alike.rows, alike.columns)
        print(f"CKA of {len(alike.rows)} layers with {len(alike.columns)}, {alike.samples} samples: {path}")
        return
    wanted, image = arguments.draw
    first, _, second = wanted.partition(",")
    what = seen(found, other, (first, second or first), image)
    path = arguments.out or Path(f"{name}-{first}.png")
    names = arguments.model, arguments.other or "its teacher"
    draw_maps(path, what.image, what.maps, [f"{who}: {site}" for who, site in zip(names, what.sites, strict=True)])
    print(f"Drawn: {path}")


def _tensor(info: TensorInfo) -> tuple[object, ...]:
    dtype = str(info.dtype).removeprefix("torch.")
    return info.name, info.operation, info.shape, dtype, f"{info.bytes:,}", f"{info.multiply_adds:,}"


def _site(info: SiteInfo) -> tuple[str, ...]:
    site = info.site or "(the model's output)"
    return site, info.kind, info.output or "did not run", str(info.calls), f"{info.parameters:,}"


def _call(info: CallInfo) -> tuple[object, ...]:
    return info.path, info.kind, info.evaluated, info.trained


def _tree(sites: Sequence[SiteInfo]) -> Any:
    from rich.text import Text
    from rich.tree import Tree

    nodes: dict[str, Tree] = {}
    for info in sites:
        _, kind, output, calls, parameters = _site(info)
        above, _, word = info.site.rpartition(".")
        often = "" if calls == "1" else f", {calls} calls"
        label = Text(f"{word or '(the model)'}  {kind}  {output}  {parameters}{often}")
        nodes[info.site] = nodes[above].add(label) if info.site else Tree(label)
    return nodes[""]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column[0] == ">" else "left")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers such as 3,32,32, got {text!r}") from None
