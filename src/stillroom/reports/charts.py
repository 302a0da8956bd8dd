"""Charts as SVG text to stand inside a page: no words of the user in them, and the page's own colour of text.

Legends and titles are the page's. Drawn without pyplot, and the same bytes for the same curves.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from stillroom.reports.curves import Group, mean

# Values that differ by more than this factor share a chart on a logarithmic scale only.
_LOG_FROM = 50
# Up to here each point is marked, so that a curve of one or two can be seen.
_FEW_POINTS = 30

_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")

_INK = "#010203"
_STYLE = {
    "font.size": 10.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.usetex": False,
    "svg.fonttype": "none",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def lines(groups: Sequence[Group], *, key: str, x: str, percent: bool = False, whole: bool = True) -> str:
    """A chart of lines: the mean of each group, and its curves thin where there are several.

    Args:
        key: another word for each chart of a page, so that their SVG ids differ.
        x: what is counted along the bottom.
        percent: whether the values are shares of 1.
        whole: whether x is a whole number; else a share of 1.
    """
    with matplotlib.rc_context(_style(key)):
        figure = _figure()
        axes = _axes(figure, x=x, percent=percent)
        if not whole:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
            axes.xaxis.set_major_formatter(_PERCENT)
        for group in groups:
            _draw_group(axes, group)
        values = [y for group in groups for curve in group.curves for y in curve.values()]
        if not percent and values and min(values) > 0 and max(values) > _LOG_FROM * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        left, right = axes.get_xlim()
        if whole and right - left < 1:
            # A single epoch stands in the middle, between whole numbers.
            axes.set_xlim((left + right) / 2 - 1, (left + right) / 2 + 1)
        return _svg(figure)


def shares(groups: Sequence[Group], *, key: str, x: str) -> str:
    """A chart of stacked shares of a total: the mean of each group, 0 where it has none; else as ``lines``."""
    means = [mean(group.curves) for group in groups]
    at = sorted({point for curve in means for point in curve})
    heights = [[curve.get(point, 0.0) for point in at] for curve in means]
    with matplotlib.rc_context(_style(key)):
        figure = _figure()
        axes = _axes(figure, x=x, percent=True)
        axes.stackplot(at, heights, colors=[group.colour for group in groups], linewidth=0)
        axes.set_ylim(0, 1)
        axes.margins(x=0)
        return _svg(figure)


def _style(key: str) -> Any:
    # Any, since matplotlib types the keys as texts in some releases and as literals in others.
    return {**_STYLE, "svg.hashsalt": key}


def _figure() -> Figure:
    # 72 units of the SVG to the inch: about as wide as a phone, so that the text keeps its size there.
    return Figure(figsize=(5.0, 2.9), layout="constrained")


def _axes(figure: Figure, *, x: str, percent: bool) -> Axes:
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    if percent:
        axes.yaxis.set_major_formatter(_PERCENT)
    return axes


def _draw_group(axes: Axes, group: Group) -> None:
    if group.level is not None:
        axes.axhline(group.level, color=group.colour, linestyle="--", linewidth=1.4)
    if len(group.curves) > 1:
        for curve in group.curves:
            axes.plot(list(curve), list(curve.values()), color=group.colour, linewidth=0.8, alpha=0.4)
    middle = mean(group.curves)
    marker = "o" if len(middle) <= _FEW_POINTS else ""
    axes.plot(list(middle), list(middle.values()), color=group.colour, linewidth=1.8, marker=marker, markersize=3)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # The groups' ids repeat from chart to chart, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    return re.sub(rf"(fill|stroke): {_INK}", r"\1: currentColor", text)
