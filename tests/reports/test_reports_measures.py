"""What a report says of a detector: its measures, its classes, the parts of its loss, and what it finds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_folders import comparison_runs, run, score, write_run

from stillroom import reports
from stillroom.errors import StillroomError
from stillroom.reports.comparison import compare_runs
from stillroom.reports.figures import parts, task_parts
from stillroom.reports.folder import read_runs
from stillroom.reports.measures import classes, measures

PARTS = ["task", "task.centre", "task.size"]


def detecting(results: reports.RunResults, *, shift: float = 0.0) -> reports.RunResults:
    """The same run, of a detector of two classes."""

    def better(found: reports.Score, by: float) -> reports.Score:
        details = {"AP50 area": 0.5 + by, "AP": 0.3 + by}
        told = {"cat": {"AP50": 0.7 + by, "AP": 0.4 + by}, "a <dog>": {"AP50": 0.2 + by}}
        return replace(found, details=details, per_class=told)

    def both(found: reports.Scores) -> reports.Scores:
        return reports.Scores(last=better(found.last, shift), best=better(found.best, shift + 0.01))

    teacher = {
        name: replace(facts, test=better(facts.test, 0.1)) if facts.test else facts
        for name, facts in results.teacher.items()
    }
    return replace(
        results, metric="AP50", test=both(results.test), validation=both(results.validation), teacher=teacher
    )


def as_csv_of(folder: Path, names: list[str], shares: list[float]) -> None:
    """metrics.csv of two epochs with these parts, whose raw value is ten times the share."""
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(reports.columns(names, metric="AP50"))
        for epoch in (1, 2, 3, 4):
            cells = [value for share in shares for value in (10 * share, 10 * share, share)]
            out.writerow([epoch, 7 * epoch, "train", 10.0, "", 0.1, 5.0 * epoch, *cells])
            out.writerow([epoch, 7 * epoch, "validation", 9.0, 0.5, "", 5.0 * epoch, *[""] * len(cells)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", detecting(run()))


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    runs = {name: detecting(each, shift=0.01 * each.seed) for name, each in comparison_runs(2).items()}
    for name, each in runs.items():
        write_run(tmp_path / name, each)
        (tmp_path / name / "metrics.csv").unlink()
        alone = each.role != "distilled"
        as_csv_of(tmp_path / name, PARTS if alone else ["kl", *PARTS], [1, 0.7, 0.3] if alone else [0.5, 0.5, 0.3, 0.2])
    reports.write(compare_runs(runs, name="pets"), tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    return tmp_path


def test_results_with_measures_come_back(folder: Path) -> None:
    found = reports.read_run(folder)
    assert found == detecting(run())
    assert reports.from_json(reports.to_json(found)) == found


def test_results_of_before_are_read(tmp_path: Path) -> None:
    whole = reports.to_json(run())
    for split in ("test", "validation"):
        for each in whole[split].values():
            del each["details"], each["per_class"], each["top5"]
    for facts in whole["teacher"].values():
        for split in ("test", "validation"):
            del facts[split]["details"], facts[split]["per_class"]
    (tmp_path / "results.json").write_text(json.dumps(whole))
    assert reports.read_run(tmp_path) == run()


def test_a_measure_that_is_no_number() -> None:
    whole = reports.to_json(detecting(run()))
    whole["test"]["last"]["per_class"]["cat"]["AP"] = "much"
    message = r"^test\.last\.per_class\.cat\.AP: the value is of the wrong kind; expected a number, got 'much'\.$"
    with pytest.raises(StillroomError, match=message):
        reports.from_json(whole)


def test_the_tables_of_a_run(folder: Path) -> None:
    found = reports.read(folder)
    runs = read_runs(folder, found)
    told = measures(found, runs)
    assert told.header == ["test, %", "last epoch", "best epoch", "teacher"]
    assert told.rows == [
        ["AP50", "93.00", "93.50", "95.00"],
        ["AP50 area", "50.00", "51.00", "60.00"],
        ["AP", "30.00", "31.00", "40.00"],
    ]
    by_class = classes(found, runs)
    assert by_class.header == ["test, %", "AP50", "AP", "teacher: AP50"]
    assert by_class.rows == [["cat", "70.00", "40.00", "80.00"], ["a <dog>", "20.00", "-", "30.00"]]


def test_validation_stands_in_for_a_test_set(folder: Path) -> None:
    found = replace(reports.read_run(folder), test=None)
    told = measures(found, read_runs(folder, found))
    assert told.header == ["validation, %", "last epoch", "best epoch", "teacher"]
    assert told.rows[1] == ["AP50 area", "50.00", "51.00", "-"]  # the teacher's validation score has none here


def test_the_tables_of_a_comparison(comparison: Path) -> None:
    found = reports.read(comparison)
    runs = read_runs(comparison, found)
    told = measures(found, runs)
    assert told.header == ["test, %", "teacher", "student alone", "student distilled"]
    assert told.rows[2] == ["AP", "30.00", "30.50 ± 0.71", "30.50 ± 0.71"]
    by_class = classes(found, runs)
    assert by_class.header == told.header
    assert by_class.rows[0] == ["cat", "70.00", "70.50 ± 0.71", "70.50 ± 0.71"]


def test_a_classifier_has_no_such_tables(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", run())
    found = reports.read(folder)
    assert not measures(found, read_runs(folder, found)).rows
    assert not classes(found, read_runs(folder, found)).rows
    page = reports.write_report(folder).read_text()
    for section in ("Average precision", "Parts of the task loss", "Detections"):
        assert section not in page


def test_the_parts_of_the_task_loss(comparison: Path) -> None:
    """Of the student distilled; what the total is made of does not count them again."""
    runs = read_runs(comparison, reports.read(comparison))
    raw, share = task_parts(runs)
    assert [chart.title for chart in (raw, share)] == ["Raw value in the task loss", "Share of the total loss"]
    for chart in (raw, share):
        assert [group.label for group in chart.groups] == ["task.centre", "task.size"]
        assert [len(group.curves) for group in chart.groups] == [2, 2]
    assert raw.groups[0].curves[0] == dict.fromkeys((1, 2, 3, 4), 3.0)
    assert share.groups[1].curves[0] == dict.fromkeys((1, 2, 3, 4), 0.2)
    assert [group.label for group in parts(runs)[0].groups] == ["kl", "task"]


def test_parts_of_a_student_alone(folder: Path) -> None:
    as_csv_of(folder, PARTS, [1, 0.9, 0.1])
    runs = read_runs(folder, reports.read(folder))
    assert parts(runs) == []
    assert [group.label for group in task_parts(runs)[0].groups] == PARTS[1:]


def test_the_page_of_a_detector(folder: Path) -> None:
    as_csv_of(folder, PARTS, [1, 0.9, 0.1])
    (folder / reports.DETECTIONS).write_bytes(b"a picture")
    page = reports.write_report(folder).read_text()
    assert '<th scope="row">a &lt;dog&gt;</th><td>20.00</td><td>-</td><td>30.00</td>' in page
    assert '<img class="detections" src="data:image/png;base64,YSBwaWN0dXJl"' in page
    assert "img-src data:" in page
    assert "What the task loss is the sum of.</p>" in page


def test_the_page_of_a_comparison_shows_what_the_first_student_finds(comparison: Path) -> None:
    (comparison / "distilled-0" / reports.DETECTIONS).write_bytes(b"first")
    (comparison / "distilled-1" / reports.DETECTIONS).write_bytes(b"other")
    page = reports.write_report(comparison).read_text()
    assert 'src="data:image/png;base64,Zmlyc3Q="' in page
    assert page.count('class="detections"') == 1
    assert "What the task loss is the sum of, for the student distilled.</p>" in page


def test_without_a_score_there_is_a_hyphen() -> None:
    found = replace(run(), test=None, validation=None, teacher={})
    assert score(1, None).details == {}
    assert not measures(found, []).rows
