"""Makes run folders and comparison folders as a training leaves them, with numbers that the tests can check."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

from stillroom import reports

CONFIG = "student: {class_path: torchvision.models.resnet18, init_args: {num_classes: 10}}\nseed: 0\n"


def score(epoch: int, accuracy: float | None, loss: float | None = 0.25) -> reports.Score:
    return reports.Score(epoch=epoch, accuracy=accuracy, loss=loss)


def scores(last: float | None, best: float | None, epochs: int = 10) -> reports.Scores:
    return reports.Scores(last=score(epochs, last), best=score(max(epochs - 2, 1), best))


TEACHER = reports.TeacherFacts(folder="teacher", validation=score(10, 0.96), test=score(10, 0.95))


def run(role: str = "distilled", seed: int = 0, *, last: float | None = 0.93, best: float | None = 0.935, epochs=10):
    return reports.RunResults(
        name="cifar10-resnet18",
        role=role,
        date="2025-03-04T05:06:07+00:00",
        seed=seed,
        epochs=epochs,
        steps=390 * epochs,
        seconds=120.5,
        hardware="NVIDIA H200",
        versions={"stillroom": "0.1.0", "torch": "2.11.0"},
        model=reports.ModelFacts(
            parameters=23_528_522 if role == "teacher" else 11_181_642,
            size_mb=94.3 if role == "teacher" else 44.8,
            latency_one_ms=2.345,
            latency_batch_ms=14.5,
            batch=64,
            class_path="torchvision.models.resnet18",
        ),
        test=scores(last, best, epochs),
        validation=scores(last, best, epochs),
        teacher={"teacher": TEACHER} if role == "distilled" else {},
        cost=reports.Cost(seconds_per_epoch=12.05, samples_per_second=4150.0, peak_memory_mb=812.0),
        best_by="validation",
    )


def write_metrics(folder: Path, parts: list[str], *, epochs: int = 10, shift: float = 0.0) -> None:
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(reports.columns(parts))
        for epoch in range(1, epochs + 1):
            raw = [1.9 * math.exp(-epoch / 4) / (20**index) + 0.02 for index in range(len(parts))]
            weighted = [0.5 * value for value in raw]
            cells = [x for r, w in zip(raw, weighted, strict=True) for x in (r, w, w / sum(weighted))]
            for tenth in range(1, 11):
                step = 390 * (epoch - 1) + 39 * tenth
                out.writerow([epoch, step, "step", sum(weighted), "", 0.1, 1.2 * step / 39, *cells])
            out.writerow([epoch, 390 * epoch, "train", sum(weighted) + shift, "", 0.1, 12 * epoch, *cells])
            accuracy = 0.93 - 0.5 * math.exp(-epoch / 2.5) + shift
            empty = [""] * (3 * len(parts))
            out.writerow([epoch, 390 * epoch, "validation", 0.3 + shift, accuracy, "", 12 * epoch, *empty])


def write_run(folder: Path, results: reports.RunResults, *, parts: list[str] | None = None, shift=0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    names = parts or (["task", "kl", "hint"] if results.role == "distilled" else ["task"])
    write_metrics(folder, names, epochs=results.epochs, shift=shift)
    reports.write(results, folder)
    return folder


def comparison_runs(seeds: int = 3) -> dict[str, reports.RunResults]:
    runs = {"teacher": run("teacher", last=0.95, best=0.955)}
    for seed in range(seeds):
        runs[f"alone-{seed}"] = run("alone", seed, last=0.90 + 0.01 * seed, best=0.91 + 0.01 * seed)
        runs[f"distilled-{seed}"] = run("distilled", seed, last=0.92 + 0.012 * seed, best=0.925 + 0.008 * seed)
    return runs


def with_a_peer(results: reports.RunResults, accuracy: float) -> reports.RunResults:
    facts = reports.TeacherFacts(folder="peer1", validation=score(10, accuracy + 0.01), test=score(10, accuracy))
    return replace(results, companions={"peer1": facts})


def judgement(classes: int = 3) -> reports.Judgement:
    bins = [reports.Bin(confidence=0.5, accuracy=0.4, count=40), reports.Bin(confidence=0.9, accuracy=0.95, count=60)]
    counts = [[10 * (row == column) + 1 for column in range(classes)] for row in range(classes)]
    said, alike = {"label": 1, "teacher": 0, "student": 2}, [[0.625, None]]
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    return reports.Judgement(
        teacher="teacher",
        split="test",
        samples=100,
        classes=[f"class {index}" for index in range(classes)],
        student_accuracy=0.73,
        teacher_accuracy=0.81,
        agreement=0.77,
        student_alone=0.04,
        teacher_alone=0.12,
        confusion=None if classes > 20 else counts,
        swaps=[reports.Swap(teacher=0, student=2, count=17)],
        student_calibration=reports.Calibration(error=0.07, bins=bins),
        teacher_calibration=reports.Calibration(error=0.03, bins=bins[1:]),
        disagreements=[reports.Disagreement(**said, picture=picture) for picture in (dot, None)],
        likeness=reports.Likeness(student=["layer1"], teacher=["stage<1>", "stage2"], values=alike, samples=128),
    )


def comparison_with_peers(seeds: int = 3) -> dict[str, reports.RunResults]:
    return {
        name: with_a_peer(found, 0.91 + 0.01 * found.seed) if found.role == "distilled" else found
        for name, found in comparison_runs(seeds).items()
    }


def write_comparison(folder: Path, runs: dict[str, reports.RunResults] | None = None) -> Path:
    runs = comparison_runs() if runs is None else runs
    for name, results in runs.items():
        write_run(folder / name, results, shift=0.012 * results.seed + (0.02 if results.role == "distilled" else 0))
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    reports.write(reports.compare_runs(runs, name="cifar10-resnet18"), folder)
    return folder
