"""Pictures of what two models make of samples, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.files import whole_file


def draw_likeness(path: Path, matrix: Tensor, rows: Sequence[str], columns: Sequence[str]) -> None:
    """The likeness of layers as a map.

    Args:
        path: of the PNG.
        matrix: (rows, columns), from about 0 to 1.
        rows: sites of the first model.
        columns: sites of the second.

    Raises:
        StillroomError: the file exists already.
    """
    height, width = matrix.shape
    figure = Figure(figsize=(2.2 + 0.55 * width, 1.8 + 0.45 * height), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(matrix.clamp(0, 1).numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(width), columns, rotation=90)
    axes.set_yticks(range(height), rows)
    for row in range(height):
        for column in range(width):
            value = float(matrix[row, column])
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(drawn, ax=axes, label="CKA")
    _save(figure, path)


def draw_maps(path: Path, image: Tensor, maps: Sequence[Tensor], titles: Sequence[str]) -> None:
    """Two maps over an image, and their difference.

    Args:
        path: of the PNG.
        image: (C, H, W).
        maps: two of them, (h, w), from 0 to 1; each is enlarged to the image.
        titles: of the two.

    Raises:
        StillroomError: the file exists already.
    """
    picture = image.float() - image.min()
    picture = (picture / picture.max().clamp_min(1e-12)).mean(0)
    first, second = (_enlarged(each, image) for each in maps)
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 4)
    _panel(panels[0], picture, "image")
    for panel, value, title in zip(panels[1:3], (first, second), titles, strict=True):
        _panel(panel, picture, title)
        drawn = panel.imshow(value.numpy(), cmap="inferno", alpha=0.65, vmin=0, vmax=1)
        figure.colorbar(drawn, ax=panel, shrink=0.8)
    _panel(panels[3], picture, "first minus second")
    drawn = panels[3].imshow((first - second).numpy(), cmap="RdBu_r", alpha=0.75, vmin=-1, vmax=1)
    figure.colorbar(drawn, ax=panels[3], shrink=0.8)
    _save(figure, path)


def _enlarged(value: Tensor, image: Tensor) -> Tensor:
    size = [int(side) for side in image.shape[1:]]
    return F.interpolate(value[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0].cpu()


def _panel(axes: Axes, picture: Tensor, title: str) -> None:
    axes.imshow(picture.cpu().numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def _save(figure: Figure, path: Path) -> None:
    if path.exists():
        raise StillroomError("this file exists already", where=str(path), fix="Choose another: --out FILE.png.")
    with whole_file(path, suffix=".png") as part:
        figure.savefig(part, dpi=120, metadata={"Software": None})
