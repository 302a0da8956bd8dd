"""Words in, words out."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from stillroom.cli.main import main

TINY = (
    "student.width=2",
    "scheduler=null",
    "trainer.max_epochs=1",
    "trainer.progress=false",
    "teacher.model.width=8",
    "teacher.scheduler=null",
    "teacher.trainer.max_epochs=2",
    "teacher.trainer.progress=false",
)
"""Overrides with which the recipe of the digits takes a fraction of a second, the teacher being better than chance."""


def said(*words: object) -> tuple[int, str, str]:
    """The status, the output and the complaint of a command."""
    out, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaint):
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), complaint.getvalue()


def refused(place: Path, *words: object) -> str:
    """The one line with which a command is refused, which leaves every file of the place as it was."""
    before = files(place)
    status, out, complaint = said(*words)
    assert (status, out) == (2, ""), (status, out, complaint)
    assert complaint.startswith("stillroom: ")
    assert complaint.count("\n") == 1
    assert files(place) == before
    return complaint.removeprefix("stillroom: ").rstrip("\n")


def usage(*words: object) -> str:
    """The last line of what the command says of words that it does not understand."""
    status, out, complaint = said(*words)
    assert (status, out) == (2, ""), (status, out, complaint)
    return complaint.splitlines()[-1]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
