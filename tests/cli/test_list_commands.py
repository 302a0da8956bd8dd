"""``stillroom recipes`` and ``stillroom report``."""

import os
import shutil
import subprocess
import sys

import yaml
from words_said import refused, said

from stillroom.recipes import shipped


def test_recipes():
    status, out, complaint = said("recipes")
    assert (status, complaint) == (0, "")
    for name in shipped():
        (line,) = [line for line in out.splitlines() if line.split()[0] == name]
        assert len(line.split()) > 3  # what it is


def test_one_recipe(away):
    status, out, _ = said("recipes", "--show", "digits")
    assert status == 0
    assert yaml.safe_load(out)["student"]["class_path"] == "SmallCNN"
    assert out == shipped()["digits"].read_text()
    message = "--show: there is no recipe 'digts'. Did you mean 'digits'"
    assert refused(away, "recipes", "--show", "digts").startswith(message)


def test_a_reader_that_has_gone():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "stillroom", "recipes"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_report(here, tmp_path):
    for name in ("run", "comparison"):
        shutil.copytree(here / name, tmp_path / name)
        (tmp_path / name / "report.html").unlink()
        status, out, complaint = said("report", tmp_path / name)
        assert (status, complaint) == (0, "")
        assert out.endswith(f"Report: {tmp_path / name}/report.html\n")
        assert (tmp_path / name / "report.html").read_bytes().startswith(b"<!")
    assert "| student distilled |" in said("report", "comparison", "--markdown")[1]


def test_report_refusals(here):
    message = "none/results.json: there is no such file. Name a folder that a training left behind."
    assert refused(here, "report", "none") == message
    assert refused(here, "report", "runs").startswith("runs/results.json: there is no such file.")
