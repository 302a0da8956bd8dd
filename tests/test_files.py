"""A file appears when all of it is there, and an older one stays until then."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.errors import StillroomError
from stillroom.files import whole_file, whole_files


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with whole_files(folder) as temporary:
        (temporary / "a").write_text("1")
        (temporary / "b").write_text("2")
        assert not (folder / "a").exists()
    assert sorted(file.name for file in folder.iterdir()) == ["a", "b"]


def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a.txt", suffix=".txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


def test_an_old_file_is_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "b.txt").write_text("neighbour")
    with whole_file(str(tmp_path / "a.txt"), suffix=".txt") as temporary:
        temporary.write_text("new")
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["neighbour", "new"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StillroomError, match=r"file/a: the folder cannot be written"),
        whole_files(tmp_path / "file" / "a"),
    ):
        pytest.fail("the block must not run")
    (tmp_path / "a.txt").mkdir()
    refused = pytest.raises(StillroomError, match=r"a\.txt: the file cannot be written; got .*[Dd]irectory")
    with refused, whole_file(tmp_path / "a.txt", suffix=".txt") as temporary:
        temporary.write_text("")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "file"]


def test_the_suffix_is_that_of_the_format(tmp_path: Path) -> None:
    refused = pytest.raises(StillroomError, match=r"does not fit its format; expected \.\.\.\.onnx, got .*a\.pt")
    with refused, whole_file(tmp_path / "a.pt", suffix=".onnx"):
        pytest.fail("the block must not run")
