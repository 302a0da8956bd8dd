"""The table in the terminal and in Markdown: the same cells, honest about what is not known."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import report_folders as make
from rich.console import Console

from stillroom import reports
from stillroom.errors import StillroomError


def written(folder, results):
    folder.mkdir()
    reports.write(results, folder)
    return folder


def compared(folder, seeds=3, **changes):
    runs = {name: replace(run, **changes) for name, run in make.comparison_runs(seeds).items()}
    return written(folder, reports.compare_runs(runs, name="small"))


def printed(folder, width=200):
    console = Console(file=io.StringIO(), width=width)
    console.print(reports.table(folder))
    return console.file.getvalue()


def markdown_cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_the_rows_of_a_comparison(tmp_path):
    header, rule, teacher, alone, distilled = markdown_cells(reports.markdown(compared(tmp_path / "c")))
    assert header == [
        "",
        "test accuracy, last epoch, %",
        "test accuracy, best epoch, %",
        "parameters",
        "size, MB",
        "one image, ms",
        "batch of 64, ms",
        "training, s",
    ]
    assert rule == [":---"] + ["---:"] * 7
    assert teacher == ["teacher", "95.00", "95.50", "23,528,522", "94.3", "2.35", "14.5", "120"]
    assert alone == ["student alone", "91.00 ± 1.00", "92.00 ± 1.00", "11,181,642", "44.8", "2.35", "14.5", "120"]
    assert distilled[:3] == ["student distilled", "93.20 ± 1.20", "93.30 ± 0.80"]


def test_what_was_trained_beside_the_student_stands_below_it(tmp_path):
    folder = written(tmp_path / "c", reports.compare_runs(make.comparison_with_peers(), name="cifar10-resnet18"))
    *_, distilled, peer = markdown_cells(reports.markdown(folder))
    assert distilled[0] == "student distilled"
    assert peer == ["peer1", "92.00 ± 1.00", *["-"] * 6]
    alone = written(tmp_path / "r", make.with_a_peer(make.run(), 0.91))
    cells = dict(markdown_cells(reports.markdown(alone)))
    assert cells["peer1: test accuracy"] == "91.00 % (epoch 10)"
    assert cells["peer1: validation accuracy"] == "92.00 % (epoch 10)"
    assert cells["teacher: test accuracy"] == "95.00 % (epoch 10)"


def test_the_share_among_the_five_best_stands_beside_the_accuracy(tmp_path):
    found = make.run()
    last = replace(found.test.last, top5=0.9925)
    folder = written(tmp_path / "r", replace(found, test=replace(found.test, last=last)))
    cells = dict(markdown_cells(reports.markdown(folder)))
    assert cells["test accuracy, last epoch"] == "93.00 %, top-5 99.25 % (epoch 10)"
    assert cells["test accuracy, best epoch"] == "93.50 % (epoch 8)"


def test_the_notes_of_a_comparison(tmp_path):
    text = reports.markdown(compared(tmp_path / "c"))
    assert "\n\n2025-03-04 · seeds 0, 1, 2 · 10 epochs · NVIDIA H200\n\n" in text
    assert text.endswith(
        "\n\nDistilled minus alone, in points of test accuracy: +2.20 ± 0.20 (more than the deviation) at the last "
        "epoch, +1.30 ± 0.20 (more than the deviation) at the best epoch. Mean ± sample deviation of the 3 "
        "differences, paired by seed.\n"
    )


def test_one_seed_prints_no_deviation_anywhere(tmp_path):
    folder = compared(tmp_path / "c", seeds=1)
    text = reports.markdown(folder)
    assert "±" not in text
    assert "±" not in printed(folder)
    assert "2025-03-04 · seed 0 · 10 epochs" in text
    assert text.endswith("+2.00 at the last epoch, +1.50 at the best epoch. One seed: the deviation is not known.\n")


@pytest.mark.parametrize("distilled", [[0.82, 0.80], [0.79, 0.81], [0.80, 0.80]])
def test_a_difference_within_its_deviation_is_not_called_one(tmp_path, distilled):
    runs = {f"alone-{seed}": make.run("alone", seed, last=0.80, best=0.80) for seed in range(2)}
    runs |= {f"distilled-{seed}": make.run(seed=seed, last=x, best=x) for seed, x in enumerate(distilled)}
    text = reports.markdown(written(tmp_path / "c", reports.compare_runs(runs, name="small")))
    assert "(within the deviation, so no difference is shown) at the last epoch" in text
    assert "more than" not in text
    assert "better" not in text


def test_a_loss_beyond_the_deviation_has_its_sign(tmp_path):
    runs = {f"alone-{seed}": make.run("alone", seed, last=0.80, best=0.80) for seed in range(2)}
    runs |= {f"distilled-{seed}": make.run(seed=seed, last=0.7 + seed / 100, best=0.80) for seed in range(2)}
    text = reports.markdown(written(tmp_path / "c", reports.compare_runs(runs, name="small")))
    assert "-9.50 ± 0.71 (more than the deviation) at the last epoch" in text
    assert "+0.00 ± 0.00 (within the deviation, so no difference is shown) at the best epoch" in text


def test_a_best_epoch_picked_on_test_says_so(tmp_path):
    text = reports.markdown(compared(tmp_path / "c", best_by="test"))
    assert "test accuracy, best epoch (picked on test), %" in text
    assert "at the best epoch (picked on test)." in text


def test_validation_stands_in_for_a_missing_test_split(tmp_path):
    text = reports.markdown(compared(tmp_path / "c", test=None))
    assert "validation accuracy, last epoch, %" in text
    assert "in points of validation accuracy" in text
    assert "test accuracy" not in text


def test_what_is_not_known_is_a_hyphen_and_no_gain_is_told(tmp_path):
    unknown = make.scores(None, None)
    text = reports.markdown(compared(tmp_path / "c", test=unknown, validation=unknown, seconds=None))
    assert markdown_cells(text)[3][1:3] == ["-", "-"]
    assert markdown_cells(text)[3][-1] == "-"
    assert "Distilled minus alone" not in text


def test_batches_of_two_sizes_are_told_apart(tmp_path):
    runs = make.comparison_runs(1)
    runs["teacher"] = replace(runs["teacher"], model=replace(runs["teacher"].model, batch=256))
    cells = markdown_cells(reports.markdown(written(tmp_path / "c", reports.compare_runs(runs, name="small"))))
    assert [row[6] for row in cells] == ["batch, ms", "---:", "14.5 (of 256)", "14.5 (of 64)", "14.5 (of 64)"]


def test_a_single_run(tmp_path):
    text = reports.markdown(written(tmp_path / "r", make.run(last=0.93, best=0.935)))
    assert markdown_cells(text) == [
        ["", "student distilled"],
        [":---", "---:"],
        ["test accuracy, last epoch", "93.00 % (epoch 10)"],
        ["test accuracy, best epoch", "93.50 % (epoch 8)"],
        ["validation accuracy, last epoch", "93.00 % (epoch 10)"],
        ["validation accuracy, best epoch", "93.50 % (epoch 8)"],
        ["teacher: test accuracy", "95.00 % (epoch 10)"],
        ["teacher: validation accuracy", "96.00 % (epoch 10)"],
        ["parameters", "11,181,642"],
        ["size, MB", "44.8"],
        ["one image, ms", "2.35"],
        ["batch of 64, ms", "14.5"],
        ["training, s", "120"],
    ]
    assert text.endswith("\n\n2025-03-04 · seed 0 · 10 epochs · NVIDIA H200\n")


def test_a_task_without_accuracy_is_told_by_its_loss(tmp_path):
    results = replace(make.run("alone"), test=make.scores(None, None), validation=None)
    cells = markdown_cells(reports.markdown(written(tmp_path / "r", results)))
    assert cells[2] == ["test loss, last epoch", "0.25 (epoch 10)"]
    assert cells[4][0] == "parameters"


def test_the_terminal_shows_the_same_cells(tmp_path):
    folder = compared(tmp_path / "c")
    text = printed(folder)
    for row in markdown_cells(reports.markdown(folder))[2:]:
        for cell in row:
            assert cell in text


def test_eighty_columns_cut_nothing(tmp_path):
    folder = compared(tmp_path / "c")
    text = printed(folder, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for word in ("parameters", "23,528,522", "11,181,642", "accuracy,", "training,", "distilled"):
        assert word in text


def test_names_are_shown_as_they_stand(tmp_path):
    results = replace(
        make.run(), name="[red]a[/red]", hardware="<b>GPU</b> | two\nlines", teacher={"[bold]|": make.TEACHER}
    )
    folder = written(tmp_path / "r", results)
    assert "[red]a[/red]" in printed(folder)
    assert "teacher [bold]|: test accuracy" in printed(folder)
    text = reports.markdown(folder)
    assert "teacher [bold]\\|: test accuracy" in text
    assert "&lt;b&gt;GPU&lt;/b&gt; \\| two lines" in text


def test_a_broken_folder_is_told(tmp_path):
    with pytest.raises(StillroomError, match=r"results\.json: there is no such file\."):
        reports.table(tmp_path)
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StillroomError, match=r"results\.json: name: the key is missing\."):
        reports.markdown(tmp_path)


def test_another_metric_is_named_everywhere(tmp_path):
    text = reports.markdown(compared(tmp_path / "c", metric="AP50"))
    assert "| test AP50, last epoch, % | test AP50, best epoch, % |" in text
    assert "Distilled minus alone, in points of test AP50: +2.20" in text
    one = reports.markdown(written(tmp_path / "run", replace(make.run(), metric="AP50")))
    assert "| test AP50, last epoch | 93.00 % (epoch 10) |" in one
    assert "| teacher: validation AP50 | 96.00 % (epoch 10) |" in one
    assert "accuracy" not in text + one
