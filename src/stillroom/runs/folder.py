"""Where a run lives, and how it is recognised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from stillroom.errors import StillroomError
from stillroom.files import read_text, write_text

RUNS = Path("runs")
WEIGHTS = (".ckpt", ".safetensors", ".pt", ".pth")
"""How the names of files of weights end."""
CHOSEN = "STILLROOM_RUN"


def new_folder(name: str, out: Path | None, *, fix: str = "Resume it with -r, or choose another --out.") -> Path:
    """The folder for a new run, not made yet: ``out``, or ``runs/<name>-<time>``.

    Processes that Lightning launches for further devices run the whole command again; they find the first one's choice
    in the environment.

    Raises:
        StillroomError: ``out`` exists and is not an empty folder; several processes were launched from outside and
            cannot agree on a name.
    """
    if not is_first_process():
        chosen = os.environ.get(CHOSEN) if out is None else str(out)
        if chosen is None:
            raise StillroomError("processes launched from outside cannot agree on a folder's name", fix="Give --out.")
        return Path(chosen)
    folder = _unused(RUNS / f"{name}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}") if out is None else Path(out)
    expect_new(folder, fix=fix)
    os.environ[CHOSEN] = str(folder)
    return folder


def expect_new(folder: Path, *, fix: str) -> None:
    """Refuse a folder in which there is anything.

    Raises:
        StillroomError: there is.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StillroomError("this folder exists already", where=str(folder), fix=fix)


def _unused(folder: Path) -> Path:
    """The folder itself, or the first of ``<folder>-2``, ``<folder>-3`` ... that does not exist."""
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def is_first_process() -> bool:
    """Whether this is the process that writes: the only one, or the first of those that train together."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def is_finished(folder: Path) -> bool:
    return (folder / "results.json").is_file()


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from; None where none was written yet."""
    path = folder / "checkpoints" / "last.ckpt"
    return path if path.is_file() else None


@contextmanager
def unless_refused(folder: Path) -> Generator[None]:
    """What the block writes into a new folder stays, unless an error ends it before there is a checkpoint.

    The same command may run again then.
    """
    begun = folder.is_dir() and any(folder.iterdir())
    try:
        yield
    except StillroomError:
        if is_first_process() and not begun and last_checkpoint(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def home_of(weights: Path) -> tuple[Path, Sequence[str]]:
    """Where it is said which model a file of weights belongs to: the folder, and the files in it that may say so."""
    if weights.suffix != ".ckpt":
        return weights.parent, ("model.json",)
    inside = weights if weights.parent.name == "checkpoints" else weights.resolve()
    return inside.parent.parent, ("model.json", "config.yaml")


def is_bare(weights: Path) -> bool:
    """Whether nothing says which model a file of weights belongs to."""
    folder, names = home_of(weights)
    return not any((folder / name).is_file() for name in names)


def write_config(folder: Path, config: dict[str, Any], *, notes: Sequence[str] = ()) -> None:
    """Write ``config.yaml``, which runs again as it stands, with what was found out besides in comments on top."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StillroomError("the run folder cannot be made", where=str(folder), got=error) from error
    comments = "".join(f"# {note}\n" for note in notes)
    write_text(folder / "config.yaml", comments + yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that a run was made with.

    Raises:
        StillroomError: this is no run folder.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise StillroomError("this is no run folder", where=str(folder), expected="a folder with config.yaml")
    return yaml.safe_load(read_text(path))
