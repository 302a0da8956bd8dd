"""What the command says of itself."""

import dataclasses
import subprocess
import sys

import pytest
from words_said import said, usage

from stillroom.cli.main import COMMANDS
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs.recipe import KEYS
from stillroom.runs.team import ENSEMBLE_KEYS, SHARED, TEACHER_KEYS
from stillroom.runs.terms import TERM_KEYS


def test_every_command_is_listed():
    status, out, complaint = said("--help")
    assert (status, complaint) == (0, "")
    for name, text in COMMANDS.items():
        assert f"  {name}" in out
        assert text in out
    assert said() == (status, out, complaint)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_every_command_explains_itself(name, word):
    status, out, complaint = said(name, word)
    assert (status, complaint) == (0, "")
    assert out.startswith(f"usage: stillroom {name} ")
    assert COMMANDS[name].split()[0].capitalize() in out
    assert max(len(line) for line in out.splitlines()) <= 120


@pytest.mark.parametrize("name", ["train", "compare"])
def test_every_key_of_a_recipe_is_explained(name):
    _, out, _ = said(name, "--help")
    words = out.replace(",", " ").replace(":", " ").replace("{", " ").replace(".NAME", "").split()
    settings = [field.name for field in dataclasses.fields(TrainerSettings)]
    for key in (*KEYS, *SHARED, *TEACHER_KEYS, *ENSEMBLE_KEYS, *TERM_KEYS, *settings):
        assert key in words, key


def test_an_unknown_command():
    assert said("trian") == (2, "", "stillroom: there is no command 'trian'. Did you mean 'train'?\n")
    assert ", compare, demo, eval, " in said("xyz")[2]
    assert usage("-c", "digits") == "stillroom: error: unrecognized arguments: -c" or "required" in usage(
        "-c", "digits"
    )


def test_what_there_is_and_what_there_is_not_is_said_quickly():
    """What takes seconds to import is needed for neither."""
    code = """
import sys
from contextlib import suppress
from stillroom.cli.main import main
for name in ("train", "compare", "check", "suggest"):
    main([name, "-c", "digit"])
    with suppress(SystemExit):
        main([name, "--help"])
main(["recipes"])
print(*sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("stillroom: -c: there is no recipe 'digit'. Did you mean 'digits'") == 4
    *listing, modules = done.stdout.splitlines()
    assert any(line.startswith("digits ") for line in listing)
    assert not {"lightning", "torchvision", "jsonargparse"} & set(modules.split())
