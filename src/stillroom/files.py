"""Files that appear whole or not at all, and text files read with clear errors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from stillroom.errors import StillroomError


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        StillroomError: if the file is missing, a folder, or not UTF-8.
    """
    if not path.is_file():
        raise StillroomError("there is no such file", where=str(path), fix="Name a folder that a training left behind.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StillroomError(f"the file is not UTF-8 text (byte {error.start})", where=str(path)) from error


def write_text(path: Path, text: str) -> Path:
    """Writes a file whole or not at all, and returns its path.

    Raises:
        StillroomError: if the folder is missing.
    """
    if not path.parent.is_dir():
        raise StillroomError("there is no such folder", where=str(path.parent))
    # Not tempfile: its files are readable by their owner alone, and the mode would stay.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


@contextmanager
def whole_files(folder: Path | str) -> Generator[Path]:
    """A temporary folder; what the block wrote into it moves into ``folder`` when the block ends without an error.

    Files of the same names are replaced. ``folder`` is made where it is missing.

    Raises:
        StillroomError: where the folder or a file in it cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # On the same disk, so that a move is one step.
        temporary = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder)
    except OSError as error:
        raise StillroomError("the folder cannot be written", where=str(folder), got=error) from error
    with temporary as name:
        yield Path(name)
        for file in sorted(Path(name).iterdir()):
            try:
                file.replace(folder / file.name)
            except OSError as error:
                raise StillroomError("the file cannot be written", where=str(folder / file.name), got=error) from error


@contextmanager
def whole_file(path: Path | str, *, suffix: str) -> Generator[Path]:
    """A temporary path with the name of ``path``, which becomes ``path`` when the block ends without an error.

    Raises:
        StillroomError: for a name without the suffix of its format, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix != suffix:
        raise StillroomError("the name of the file does not fit its format", expected=f"...{suffix}", got=str(path))
    with whole_files(path.parent) as folder:
        yield folder / path.name
