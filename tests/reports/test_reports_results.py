"""results.json: what goes in comes out, and a broken file is told by its key."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import pytest
import report_folders as make

from stillroom import reports
from stillroom.errors import StillroomError


def test_a_run_survives_the_disk(tmp_path):
    results = make.run(seed=3)
    path = reports.write(results, tmp_path)
    assert path == tmp_path / "results.json"
    assert reports.read(tmp_path) == results


def test_a_comparison_survives_the_disk(tmp_path):
    results = reports.compare_runs(make.comparison_runs(), name="small")
    reports.write(results, tmp_path)
    assert reports.read(tmp_path) == results


def test_what_is_unknown_survives_too(tmp_path):
    model = replace(make.run().model, latency_one_ms=None, latency_batch_ms=None, class_path=None)
    cost = reports.Cost(seconds_per_epoch=None, samples_per_second=None, peak_memory_mb=None)
    results = replace(make.run("teacher"), model=model, cost=cost, seconds=None, test=None, validation=None)
    reports.write(results, tmp_path)
    assert reports.read(tmp_path) == results


def test_the_schema_on_disk(tmp_path):
    reports.write(make.run(), tmp_path)
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(data)[:2] == ["format", "kind"]
    assert (data["format"], data["kind"], data["role"]) == (1, "run", "distilled")
    best = {"epoch": 8, "accuracy": 0.935, "loss": 0.25, "top5": None, "details": {}, "per_class": {}}
    assert data["test"]["best"] == best
    assert data["model"]["class_path"] == "torchvision.models.resnet18"


def test_a_number_that_is_not_finite_becomes_null():
    results = replace(make.run(), test=reports.Scores(last=make.score(1, 0.1, float("nan")), best=make.score(1, 0.1)))
    assert reports.to_json(results)["test"]["last"]["loss"] is None
    json.dumps(reports.to_json(results), allow_nan=False)


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    reports.write(make.run(seed=1), tmp_path)

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        reports.write(make.run(seed=2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert reports.read(tmp_path).seed == 1


def test_others_may_read_the_file(tmp_path):
    mask = os.umask(0o022)
    try:
        path = reports.write(make.run(), tmp_path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_writing_into_no_folder(tmp_path):
    with pytest.raises(StillroomError, match=r"nowhere: there is no such folder\."):
        reports.write(make.run(), tmp_path / "nowhere")


def test_a_missing_file(tmp_path):
    with pytest.raises(
        StillroomError, match=r"results\.json: there is no such file\. Name a folder that a training left behind\."
    ):
        reports.read(tmp_path)


def test_a_file_that_is_not_json(tmp_path):
    (tmp_path / "results.json").write_text('{\n  "format": 1,\n  "kind"\n', encoding="utf-8")
    with pytest.raises(StillroomError, match=r"results\.json, line 4: the file is not JSON; got Expecting ':' delim"):
        reports.read(tmp_path)


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "results.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(StillroomError, match=r"results\.json: the file is not UTF-8 text \(byte 7\)\."):
        reports.read(tmp_path)


WRONG = [
    (("format",), 2, r"results\.json: format: the value is of the wrong kind; expected 1, got 2\."),
    (("role",), "pupil", r"role: .* expected 'teacher' or 'alone' or 'distilled', got 'pupil'\."),
    (("seed",), "0", r"seed: the value is of the wrong kind; expected a whole number, got '0'\."),
    (("seed",), True, r"seed: .* expected a whole number, got True\."),
    (("epochs",), 2.5, r"epochs: .* expected a whole number, got 2\.5\."),
    (("cost", "peak_memory_mb"), "1 GB", r"cost\.peak_memory_mb: .* expected a number, got '1 GB'\."),
    (("versions",), ["2.11"], r"versions: .* expected a mapping, got \['2\.11'\]\."),
    (("versions", "torch"), 2.11, r"versions\.torch: .* expected a text, got 2\.11\."),
    (("test", "last", "accuracy"), 93.0, r"test\.last\.accuracy: an accuracy is a share; expected 0 to 1, got 93\.0\."),
    (("model", "parametres"), 5, r"model\.parametres: nothing has this name\. Did you mean 'parameters'\?"),
    (("teacher", "teacher", "test"), {}, r"teacher\.teacher\.test\.epoch: the key is missing\."),
]


@pytest.mark.parametrize(("keys", "value", "message"), WRONG, ids=[f"{'.'.join(k)}={v}" for k, v, _ in WRONG])
def test_a_wrong_value_names_its_key(tmp_path, keys, value, message):
    data = reports.to_json(make.run())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (tmp_path / "results.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(StillroomError, match=message):
        reports.read(tmp_path)


def test_a_missing_key_is_named():
    data = reports.to_json(make.run())
    del data["model"]["size_mb"]
    with pytest.raises(StillroomError, match=r"^model\.size_mb: the key is missing\.$"):
        reports.from_json(data)


def test_something_else_than_a_mapping():
    with pytest.raises(StillroomError, match=r"^the value is of the wrong kind; expected a mapping, got \[1\]\.$"):
        reports.from_json([1])


def test_values_that_do_not_pair_with_the_seeds():
    data = reports.to_json(reports.compare_runs(make.comparison_runs(3), name="small"))
    data["rows"][1]["last"]["values"].pop()
    with pytest.raises(
        StillroomError,
        match=r"student alone: the values do not pair; expected one for each of the seeds \[0, 1, 2\], got \[2, 3\]\.",
    ):
        reports.from_json(data)


def test_a_comparison_where_a_run_is_needed(tmp_path):
    reports.write(reports.compare_runs(make.comparison_runs(), name="small"), tmp_path)
    with pytest.raises(StillroomError, match=r"the folder is not one run's; expected a run, got a comparison\."):
        reports.read_run(tmp_path)


def test_a_folder_from_before_there_were_other_metrics():
    data = reports.to_json(make.run())
    assert data.pop("metric") == "accuracy"
    assert reports.from_json(data) == make.run()
    whole = reports.to_json(reports.compare_runs(make.comparison_runs(1), name="small"))
    assert whole.pop("metric") == "accuracy"
    assert reports.from_json(whole).metric == "accuracy"
