"""What the tests of runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.runs.train import train


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No choice of an earlier test lingers in the environment."""
    monkeypatch.delenv("STILLROOM_RUN", raising=False)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with one run, ``run``, and its teacher under ``runs/teachers``."""
    from tiny_runs import tiny

    place = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        train(tiny(), out="run")
    return place


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in the place where the run and its teacher are."""
    monkeypatch.chdir(shop)
    return shop


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in an empty place."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
