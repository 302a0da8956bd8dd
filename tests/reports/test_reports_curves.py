"""What is drawn: means over seeds, epochs or steps, and SVG that a page can hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest
import report_folders as make

from stillroom import reports
from stillroom.reports import charts, curves, figures
from stillroom.reports.folder import Run


def metrics(folder, parts=("task",), epochs=10, shift=0.0):
    folder.mkdir()
    make.write_metrics(folder, list(parts), epochs=epochs, shift=shift)
    return reports.read_metrics(folder)


def loss(line):
    return line.loss


def test_the_mean_is_taken_where_all_seeds_have_a_value():
    assert curves.mean([{1: 0.5, 2: 0.7, 3: 0.9}, {1: 0.7, 2: 0.8}]) == {1: pytest.approx(0.6), 2: pytest.approx(0.75)}
    assert curves.mean([]) == {}


def test_phases_are_kept_apart(tmp_path):
    lines = metrics(tmp_path / "r", epochs=3)
    assert list(curves.over_epochs(lines, "train", loss)) == [1, 2, 3]
    assert set(curves.over_epochs(lines, "validation", loss).values()) == {0.3}
    assert curves.over_epochs(lines, "train", lambda line: line.accuracy) == {}


def test_few_epochs_are_told_by_their_steps(tmp_path):
    short, long = metrics(tmp_path / "short", epochs=2), metrics(tmp_path / "long", epochs=3)
    assert curves.training_unit([short]) == "step"
    assert list(curves.in_training(short, "step", loss))[:2] == [39, 78]
    assert curves.training_unit([long]) == "epoch"
    assert curves.training_unit([short, long]) == "epoch"
    assert curves.training_unit([[line for line in short if line.phase != "step"]]) == "epoch"
    assert curves.training_unit([]) == "epoch"


def test_what_is_not_finite_is_a_gap(tmp_path):
    header = ",".join(reports.columns(["task"]))
    cells = "\n".join(f"{epoch},1,train,{value},,,,,," for epoch, value in enumerate(["1.0", "nan", "inf", "2.0"], 1))
    (tmp_path / "metrics.csv").write_text(f"{header}\n{cells}\n", encoding="utf-8")
    assert curves.over_epochs(reports.read_metrics(tmp_path), "train", loss) == {1: 1.0, 4: 2.0}


def runs_of(folder):
    return [
        Run(f"{role}-{seed}", make.run(role, seed), metrics(folder / f"{role}{seed}", parts, shift=shift))
        for role, parts, shift in (("alone", ["task"], 0.0), ("distilled", ["task", "kl"], 0.05))
        for seed in range(2)
    ]


def test_the_charts_of_a_comparison(tmp_path):
    runs = runs_of(tmp_path)
    accuracy, training = figures.learning(make.run(), runs)
    assert (accuracy.title, training.title) == ("Validation accuracy", "Training loss")
    assert [group.label for group in accuracy.groups] == ["student alone", "student distilled", "teacher"]
    assert [len(group.curves) for group in accuracy.groups] == [2, 2, 0]
    assert accuracy.groups[2].level == 0.96
    assert accuracy.groups[1].curves[0][10] - accuracy.groups[0].curves[0][10] == pytest.approx(0.05)
    raw, weighted, share = figures.parts(runs)
    assert [group.label for group in share.groups] == ["task", "kl"]
    assert raw.groups[1].curves[0][1] == pytest.approx(2 * weighted.groups[1].curves[0][1])
    assert sum(group.curves[0][5] for group in share.groups) == pytest.approx(1)


def test_a_best_epoch_picked_on_test_names_its_chart(tmp_path):
    results = reports.from_json({**reports.to_json(make.run()), "best_by": "test"})
    accuracy, _ = figures.learning(results, runs_of(tmp_path))
    assert accuracy.title == "Test accuracy"
    assert accuracy.groups[2].level == 0.95


def test_without_accuracy_the_loss_is_drawn(tmp_path):
    lines = metrics(tmp_path / "r")
    blind = [reports.Measured(**{**vars(line), "accuracy": None}) for line in lines]
    first, _ = figures.learning(make.run(), [Run("r", make.run(), blind)])
    assert first.title == "Validation loss"
    assert [group.label for group in first.groups] == ["student distilled"]


def test_one_part_alone_has_no_chart_of_parts(tmp_path):
    run = Run("r", make.run("alone"), metrics(tmp_path / "r"))
    assert figures.parts([run]) == []
    assert figures.parts([]) == []


GROUP = curves.Group("name", "#2f7fd0", [{1: 0.5, 2: 0.25}, {1: 0.7, 2: 0.35}])


def test_a_chart_is_the_same_bytes_each_time_and_another_for_other_values():
    first = charts.lines([GROUP], key="a", x="epoch")
    assert charts.lines([GROUP], key="a", x="epoch") == first
    assert charts.lines([curves.Group("name", "#2f7fd0", [{1: 0.5, 2: 0.3}])], key="a", x="epoch") != first


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    charts.lines([GROUP], key="a", x="epoch")
    charts.shares([GROUP], key="a", x="epoch")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("points", [{}, {1: 0.5}, {1: 0.5, 2: 0.0}, {1: 1e-6, 2: 5.0}, {1: -1.0, 2: 3.0}])
def test_any_curve_can_be_drawn(points):
    group = curves.Group("name", "#2f7fd0", [points])
    for svg in (charts.lines([group], key="a", x="step"), charts.shares([group], key="b", x="step")):
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_wide_range_of_losses_is_drawn_on_a_logarithmic_scale():
    def ticks(low):
        return re.findall(
            r">([\d.]+)</text>", charts.lines([curves.Group("n", "#fff", [{1: low, 2: 1.0}])], key="a", x="x")
        )

    assert {"0.001", "0.01", "0.1", "1"} <= set(ticks(0.001))
    assert "0.01" not in ticks(0.1)


def test_the_text_takes_the_colour_of_the_page():
    svg = charts.lines([GROUP], key="a", x="epoch")
    assert re.findall(r"<text[^>]*fill: (\S+?)[;\"]", svg)
    assert set(re.findall(r"<text[^>]*fill: ([^;\"]+)", svg)) == {"currentColor"}
    assert "#010203" not in svg
    assert "#000000" not in svg
    assert "#ffffff" not in svg


def test_thin_lines_for_seeds_and_one_for_their_mean():
    widths = re.findall(r"stroke: #2f7fd0;[^\"]*stroke-width: ([\d.]+)", charts.lines([GROUP], key="a", x="epoch"))
    assert widths == ["0.8", "0.8", "1.8"]
