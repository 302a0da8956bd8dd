"""Text files, read with clear errors and written whole or not at all."""

from __future__ import annotations

import os
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
