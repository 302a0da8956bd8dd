"""Commands in processes of their own, which die where they are told to."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from pathlib import Path

Place = tuple[str, int, int]
"""(dotted path of a function, which of its calls, the signal that the process gets there)."""


def command(place: Path, words: list[str], at: Place | None = None) -> tuple[int, str]:
    """Run a command in this place: its exit status, negative for a signal that killed it, and what it said."""
    process = multiprocessing.get_context("forkserver").Process(target=_body, args=(place, words, at))
    process.start()
    process.join(120)
    status = process.exitcode
    assert status is not None, f"{words} has not ended"
    return status, (place / "said.txt").read_text()


def _body(place: Path, words: list[str], at: Place | None) -> None:
    import torch

    from stillroom.cli.main import main
    from stillroom.export import measure

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may have been told to ignore it
    os.chdir(place)
    with (place / "said.txt").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    torch.set_num_threads(1)
    measure.SECONDS = measure.WARM_UP_SECONDS = 0.0
    if at is not None:
        _die_at(*at)
    sys.exit(main(words))


def _die_at(path: str, which: int, number: int) -> None:
    owner_path, _, name = path.rpartition(".")
    try:
        owner = importlib.import_module(owner_path)
    except ModuleNotFoundError:
        module_path, _, class_name = owner_path.rpartition(".")
        owner = getattr(importlib.import_module(module_path), class_name)
    function, calls = getattr(owner, name), []

    def dying(*args, **kwargs):
        calls.append(None)
        if len(calls) == which:
            os.kill(os.getpid(), signal.Signals(number))
        return function(*args, **kwargs)

    setattr(owner, name, dying)
