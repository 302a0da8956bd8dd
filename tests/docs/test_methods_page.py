"""The table of the losses in the documentation is the one that the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
BEGIN, END = "<!-- methods: begin -->\n", "<!-- methods: end -->\n"


def test_the_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--markdown"]) == 0
    printed = capsys.readouterr().out
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"
    assert shown == printed, (
        f"docs/methods.md is stale: what stands between {BEGIN.strip()} and {END.strip()} "
        "must be what `stillroom methods --markdown` prints"
    )
