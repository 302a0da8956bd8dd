"""Means, sample deviations, pairs of seeds, and equal budgets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_folders as make

from stillroom import reports
from stillroom.errors import StillroomError


def compared(alone: list[float | None], distilled: list[float | None]) -> reports.ComparisonResults:
    runs = {f"alone-{seed}": make.run("alone", seed, last=value, best=value) for seed, value in enumerate(alone)}
    runs |= {f"distilled-{seed}": make.run(seed=seed, last=value, best=value) for seed, value in enumerate(distilled)}
    return reports.compare_runs(runs, name="small")


def test_mean_and_sample_deviation_by_hand():
    teacher, alone, distilled = reports.compare_rows(make.comparison_runs(3))
    assert [teacher.name, alone.name, distilled.name] == ["teacher", "student alone", "student distilled"]
    assert alone.last.values == pytest.approx([0.90, 0.91, 0.92])
    assert alone.last.mean == pytest.approx(0.91)
    # sqrt((0.01^2 + 0 + 0.01^2) / 2): divided by n - 1, not n.
    assert alone.last.deviation == pytest.approx(0.01)
    assert distilled.last.mean == pytest.approx(0.932)
    assert distilled.last.deviation == pytest.approx(0.012)
    assert distilled.best.deviation == pytest.approx(0.008)
    assert (teacher.last.mean, teacher.last.deviation) == (0.95, None)


def test_the_rest_of_a_row():
    runs = {
        "alone-0": make.run("alone", 0),
        "alone-1": replace(make.run("alone", 1), seconds=60.5),
        "distilled-0": make.run(seed=0),
        "distilled-1": replace(make.run(seed=1), model=replace(make.run().model, latency_one_ms=None)),
    }
    alone, distilled = reports.compare_rows(runs)
    assert alone.folders == ["alone-0", "alone-1"]
    assert alone.seconds == pytest.approx(90.5)
    assert (alone.parameters, alone.size_mb, alone.batch) == (11_181_642, 44.8, 64)
    assert distilled.latency_one_ms == pytest.approx(2.345)


def test_runs_are_ordered_by_seed_whatever_their_order():
    runs = make.comparison_runs(3)
    mixed = dict(sorted(runs.items(), reverse=True))
    assert reports.compare_runs(mixed, name="small") == reports.compare_runs(runs, name="small")
    assert reports.compare_runs(mixed, name="small").seeds == [0, 1, 2]


def test_the_gain_is_paired_by_seed():
    results = compared([0.80, 0.90, 0.85], [0.82, 0.91, 0.88])
    found = reports.gain(results)
    assert found.last.values == pytest.approx([0.02, 0.01, 0.03])
    assert found.last.mean == pytest.approx(0.02)
    assert found.last.deviation == pytest.approx(0.01)


def test_companions_are_told_over_the_seeds():
    runs = make.comparison_with_peers()
    found = reports.compare_runs(runs, name="x")
    assert found.companions.keys() == {"peer1"}
    assert found.companions["peer1"].values == pytest.approx([0.91, 0.92, 0.93])
    assert found.companions["peer1"].deviation == pytest.approx(0.01)
    assert reports.from_json(reports.to_json(found)) == found
    one_less = {name: replace(run, companions={}) if name == "distilled-1" else run for name, run in runs.items()}
    assert reports.compare_runs(one_less, name="x").companions["peer1"].mean is None


def test_one_seed_has_no_deviation():
    results = compared([0.80], [0.82])
    assert results.rows[0].last.deviation is None
    assert reports.gain(results).last.deviation is None


def test_an_unknown_accuracy_leaves_no_mean_and_no_gain():
    results = compared([0.80, None], [0.82, 0.84])
    assert results.rows[0].last == reports.Spread(mean=None, deviation=None, values=[])
    assert reports.gain(results) is None


def test_without_test_scores_the_validation_split_is_compared():
    runs = {name: replace(run, test=None) for name, run in make.comparison_runs(2).items()}
    validated = replace(runs["alone-0"], validation=make.scores(0.5, 0.6))
    results = reports.compare_runs(runs | {"alone-0": validated}, name="small")
    assert results.split == "validation"
    assert results.rows[1].last.values == pytest.approx([0.5, 0.91])
    assert results.rows[1].best.values == pytest.approx([0.6, 0.92])


def test_one_student_without_test_scores_moves_all_to_validation():
    runs = make.comparison_runs(2)
    runs["alone-1"] = replace(runs["alone-1"], test=None)
    assert reports.compare_runs(runs, name="small").split == "validation"


def test_a_teacher_without_test_scores_moves_nothing():
    runs = make.comparison_runs(2)
    runs["teacher"] = replace(runs["teacher"], test=None)
    results = reports.compare_runs(runs, name="small")
    assert results.split == "test"
    assert results.rows[0].last.mean is None
    assert results.rows[1].last.mean == pytest.approx(0.905)


def test_date_and_hardware_of_the_comparison():
    runs = make.comparison_runs(2)
    runs["distilled-1"] = replace(runs["distilled-1"], date="2025-03-05T00:00:00+00:00")
    results = reports.compare_runs(runs, name="small")
    assert (results.date, results.hardware) == ("2025-03-05T00:00:00+00:00", "NVIDIA H200")
    assert (results.epochs, results.best_by, results.name) == (10, "validation", "small")


def test_other_seeds_are_refused():
    runs = {"alone-0": make.run("alone", 0), "distilled-1": make.run(seed=1)}
    with pytest.raises(
        StillroomError,
        match=r"the runs alone and distilled differ in their budget; "
        r"expected the \(seed, epochs\) of the runs alone, \[\(0, 10\)\], got \[\(1, 10\)\]\.",
    ):
        reports.compare_rows(runs)


def test_other_epochs_are_refused():
    runs = {"alone-0": make.run("alone", 0), "distilled-0": make.run(seed=0, epochs=12)}
    with pytest.raises(StillroomError, match=r"\[\(0, 10\)\], got \[\(0, 12\)\]\."):
        reports.compare_rows(runs)


def test_both_students_are_needed():
    with pytest.raises(
        StillroomError,
        match=r"the student alone and distilled; expected at least one run of each, got 0 alone and 1 distilled\.",
    ):
        reports.compare_rows({"teacher": make.run("teacher"), "distilled-0": make.run()})
