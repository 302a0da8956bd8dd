"""What the tests of the command share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.cli.main import main


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No choice of an earlier test lingers in the environment, lines are long."""
    monkeypatch.delenv("STILLROOM_RUN", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("rich._console", None)  # one that an earlier test has made would keep its own width


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with one run, ``run``, a comparison, ``comparison``, and their teacher under ``runs/teachers``."""
    from words_said import TINY

    place = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["train", "-c", "digits", "-o", *TINY, "--out", "run"]) == 0
        assert main(["compare", "-c", "digits", "--seeds", "1", "-o", *TINY, "--out", "comparison"]) == 0
    return place


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in the place where the run, the comparison and their teacher are."""
    monkeypatch.chdir(shop)
    return shop


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in an empty place."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
