"""samples.png: what an algorithm that makes images has come to make."""

from __future__ import annotations

from pathlib import Path

from torchvision.utils import make_grid, save_image

from stillroom.algorithms import Algorithm
from stillroom.files import whole_file
from stillroom.reports import SAMPLES

ROWS = 8


def write_samples(algorithm: Algorithm, folder: Path) -> None:
    """Write eight rows of eight images, the darkest value of all black and the brightest white; none: no file."""
    images = algorithm.samples(ROWS * ROWS)
    if images is not None and images.shape[1] in (1, 3):
        with whole_file(folder / SAMPLES, suffix=".png") as path:
            save_image(make_grid(images, nrow=ROWS, padding=1, normalize=True, pad_value=0.5), path)
