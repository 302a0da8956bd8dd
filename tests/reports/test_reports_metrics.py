"""metrics.csv: read by position, and a broken line is told by its number and cell."""

from __future__ import annotations

import pytest
import report_folders as make

from stillroom import reports
from stillroom.errors import StillroomError

HEADER = "epoch,step,phase,loss,accuracy,lr,seconds,task,task_weighted,task_share,kl,kl_weighted,kl_share\n"


def read(folder, text):
    (folder / "metrics.csv").write_text(text, encoding="utf-8")
    return reports.read_metrics(folder)


def test_every_cell_is_read(tmp_path):
    lines = "1,390,train,1.5,,0.1,12.5,2.0,1.0,0.6667,0.25,0.5,0.3333\n1,390,validation,0.5,0.75,,13,,,,,,\n"
    train, validation = read(tmp_path, HEADER + lines)
    assert (train.epoch, train.step, train.phase) == (1, 390, "train")
    assert (train.loss, train.accuracy, train.lr, train.seconds) == (1.5, None, 0.1, 12.5)
    assert train.parts == {"task": reports.Part(2.0, 1.0, 0.6667), "kl": reports.Part(0.25, 0.5, 0.3333)}
    assert (validation.loss, validation.accuracy, validation.lr, validation.seconds) == (0.5, 0.75, None, 13.0)
    assert validation.parts["kl"] == reports.Part(None, None, None)


def test_the_header_that_writers_use():
    assert reports.columns(["task", "kl"]) == HEADER.strip().split(",")


def test_a_run_that_has_logged_nothing(tmp_path):
    assert read(tmp_path, HEADER) == []


def test_names_that_look_like_columns_or_need_quotes(tmp_path):
    names = ["kl", "kl_weighted", 'a "b", c', "<script>"]
    make.write_metrics(tmp_path, names, epochs=1)
    assert list(reports.read_metrics(tmp_path)[0].parts) == names


BROKEN = [
    ("", r"metrics\.csv, line 1: the columns are not those of a run; expected epoch,step,.*, got an empty file\."),
    ("epoch,loss\n", r"line 1: the columns are not those of a run; expected .*, got epoch,loss\."),
    (HEADER.replace(",kl_share", ""), r"line 1: the columns are not those of a run"),
    (HEADER.replace("kl", "task"), r"line 1: the columns are not those of a run"),
    (HEADER + "1,390,train,1.5\n", r"metrics\.csv, line 2: the line is incomplete; expected 13 cells, got 4\."),
    (
        HEADER + "1,390,train,high,,,,,,,,,\n",
        r"line 2: the cell 'loss' is wrong; expected a number, got 'high'\.",
    ),
    (HEADER + "1,390,train,,,,,,,,,x,\n", r"line 2: the cell 'kl_weighted' is wrong; expected a number, got 'x'\."),
    (HEADER + "1.5,390,train,,,,,,,,,,\n", r"line 2: the cell 'epoch' is wrong; expected a whole number, got '1\.5'\."),
    (HEADER + ",390,train,,,,,,,,,,\n", r"line 2: the cell 'epoch' is wrong; expected a whole number, got ''\."),
    (
        HEADER + "1,390,trian,,,,,,,,,,\n",
        r"line 2: the cell 'phase' is wrong; expected 'step', 'train' or 'validation', got 'trian'\. "
        r"Did you mean 'train'",
    ),
    (HEADER + '1,390,"train', r"metrics\.csv: the file is not CSV; got "),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_a_broken_file(tmp_path, text, message):
    with pytest.raises(StillroomError, match=message):
        read(tmp_path, text)


def test_a_missing_file(tmp_path):
    with pytest.raises(StillroomError, match=r"metrics\.csv: there is no such file\. Name a folder that a training"):
        reports.read_metrics(tmp_path)


def test_another_metric(tmp_path):
    header = HEADER.replace("accuracy", "AP50")
    assert reports.columns(["task", "kl"], metric="AP50") == header.strip().split(",")
    (line,) = read(tmp_path, header + "1,390,validation,0.5,0.75,,13,,,,,,\n")
    assert line.accuracy == 0.75
    with pytest.raises(StillroomError, match=r"the cell 'AP50' is wrong; expected a number, got 'x'\."):
        read(tmp_path, header + "1,390,validation,0.5,x,,13,,,,,,\n")
