"""report.html: one file, nothing loaded, nothing unescaped, and readable on a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import report_folders as make

from stillroom import reports
from stillroom.errors import StillroomError

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page holds: tags with their attributes, and the text of each kind of element."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.texts = [], [], {}
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    def has(self, text):
        return any(text in data for found in self.texts.values() for data in found)


def page(folder):
    return Page(reports.write_report(folder).read_text(encoding="utf-8"))


def test_the_parts_of_a_comparison(tmp_path):
    found = page(make.write_comparison(tmp_path / "c"))
    assert found.open == []
    assert found.texts["h1"] == ["cifar10-resnet18"]
    assert found.texts["h2"] == ["Result", "Learning curves", "Parts of the loss", "Cost", "Teacher", "Origin"]
    assert found.texts["title"] == ["cifar10-resnet18 - Comparison report"]
    assert found.count("svg") == 5
    assert found.texts["figcaption"] == [
        "Validation accuracy",
        "Training loss",
        "Raw value",
        "Value times weight",
        "Share of the total",
    ]
    assert found.has("3 seeds, 10 epochs each.")
    assert found.has("+2.20 ± 0.20 (more than the deviation) at the last epoch")
    assert found.has("2025-03-04 05:06 UTC")


def test_the_table_holds_the_cells_of_markdown(tmp_path):
    folder = make.write_comparison(tmp_path / "c")
    found = page(folder)
    rows = [line.strip("| ").split(" | ") for line in reports.markdown(folder).splitlines() if line.startswith("| s")]
    assert len(rows) == 2
    for name, *cells in rows:
        assert name in found.texts["th"]
        assert set(cells) <= set(found.texts["td"])


def test_the_runs_and_their_cost(tmp_path):
    found = page(make.write_comparison(tmp_path / "c"))
    assert {"teacher", "alone-0", "alone-2", "distilled-0", "distilled-2"} <= set(found.texts["th"])
    assert {"12.1", "4,150", "812", "accuracy 95.00 % (epoch 10)"} <= set(found.texts["td"])


def test_a_single_run(tmp_path):
    found = page(make.write_run(tmp_path / "r", make.run()))
    assert found.has("One training of the student distilled: seed 0, 10 epochs.")
    assert found.count("svg") == 5
    assert "93.50 % (epoch 8)" in found.texts["td"]
    assert found.has("class_path: torchvision.models.resnet18")
    assert not found.has("±")
    assert ("table", {"class": "pairs"}) in found.tags


def test_what_was_trained_beside_the_student(tmp_path):
    found = page(make.write_comparison(tmp_path / "c", make.comparison_with_peers()))
    assert "Trained beside the student" in found.texts["h2"]
    assert {"distilled-0: peer1", "distilled-2: peer1"} <= set(found.texts["th"])
    assert {"92.00 ± 1.00", "accuracy 93.00 % (epoch 10)", "accuracy 94.00 % (epoch 10)"} <= set(found.texts["td"])


def test_a_student_beside_its_teacher(tmp_path):
    folder = make.write_run(tmp_path / "r", make.run())
    reports.write_judgement(make.judgement(), folder)
    assert reports.read_judgement(folder) == make.judgement()
    found = page(folder)
    assert found.has("On 100 test samples the student answers as the teacher does in 77.00 %.")
    assert {"73.00 %", "81.00 %", "4.00 %", "12.00 %", "7.00 %", "3.00 %", "11", "0.62", "-"} <= set(found.texts["td"])
    assert {"class 2", "layer1", "stage<1>"} <= set(found.texts["th"])
    assert found.count("svg") == 6
    assert found.count("img") == 1
    assert found.has("class 1: teacher class 0, student class 2")
    assert not found.has("Most frequent")
    assert found.open == []


def test_many_classes_are_told_by_their_swaps(tmp_path):
    folder = make.write_comparison(tmp_path / "c")
    reports.write_judgement(make.judgement(21), folder / "distilled-0")
    found = page(folder)
    assert {"teacher says", "student says", "class 0"} <= set(found.texts["th"])
    assert {"class 2", "17"} <= set(found.texts["td"])
    assert not found.has("Answers, teacher by student")
    assert found.has("Of the student distilled with the first seed, after its last epoch.")


def test_a_broken_judgement_is_named(tmp_path):
    folder = make.write_run(tmp_path / "r", make.run())
    (folder / "judgement.json").write_text('{"teacher": "big"}')
    message = re.escape(f"{folder / 'judgement.json'}.split: the key is missing.")
    with pytest.raises(StillroomError, match=f"^{message}$"):
        reports.write_report(folder)
    (folder / "judgement.json").write_text("{")
    with pytest.raises(StillroomError, match=r"judgement\.json, line 1: the file is not JSON"):
        reports.write_report(folder)


def test_a_run_without_teacher_and_terms(tmp_path):
    found = page(make.write_run(tmp_path / "r", make.run("alone")))
    assert found.texts["h2"] == ["Result", "Learning curves", "Cost", "Origin"]
    assert found.count("svg") == 2


def test_one_seed_prints_no_deviation(tmp_path):
    path = reports.write_report(make.write_comparison(tmp_path / "c", make.comparison_runs(1)))
    assert "±" not in path.read_text(encoding="utf-8")


def test_a_run_of_one_epoch_is_told_by_its_steps(tmp_path):
    found = page(make.write_run(tmp_path / "r", make.run(epochs=1)))
    assert found.texts["text"].count("step") == 4
    # The accuracy of the one epoch stands between whole numbers.
    assert found.texts["text"][:3] == ["0", "1", "2"]
    assert found.has("1 epoch.")


def test_a_run_that_logged_nothing_yet(tmp_path):
    folder = make.write_run(tmp_path / "r", make.run())
    make.write_metrics(folder, ["task"], epochs=0)
    found = page(folder)
    assert found.count("svg") == 0
    assert found.has("metrics.csv holds no measurement yet.")


def test_a_folder_without_configuration(tmp_path):
    folder = make.write_run(tmp_path / "r", make.run())
    (folder / "config.yaml").unlink()
    assert page(folder).has("The folder holds no config.yaml.")


def test_what_users_name_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    results = replace(make.run(), name=evil, hardware=evil, versions={evil: evil}, teacher={evil: make.TEACHER})
    folder = make.write_run(tmp_path / "r", results, parts=["task", evil, "$x_1$", "_hidden"])
    (folder / "config.yaml").write_text(f"name: {evil}\n", encoding="utf-8")
    text = reports.write_report(folder).read_text(encoding="utf-8")
    found = Page(text)
    assert evil not in text
    assert found.count("script") == 0
    assert found.texts["li"].count(evil) == 3
    assert found.texts["li"].count("$x_1$") == found.texts["li"].count("_hidden") == 3
    assert found.texts["h1"] == [evil]
    assert found.texts["pre"] == [f"name: {evil}"]


def test_nothing_is_loaded(tmp_path):
    text = reports.write_report(make.write_comparison(tmp_path / "c")).read_text(encoding="utf-8")
    found = Page(text)
    for name in ("script", "link", "img", "iframe", "object", "image", "form"):
        assert found.count(name) == 0
    references = [
        value
        for _, attributes in found.tags
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert references
    assert all(value.startswith("#") for value in references)
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text
    assert set(re.findall(r"\w*:?\w*=\"https?:[^\"]*\"", text)) == {
        'xmlns:xlink="http://www.w3.org/1999/xlink"',
        'xmlns="http://www.w3.org/2000/svg"',
    }
    policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    assert ("meta", policy) in found.tags


def test_generated_images_are_a_part_of_the_file(tmp_path):
    folder = make.write_run(tmp_path / "r", make.run())
    (folder / reports.SAMPLES).write_bytes(b"a picture")
    found = page(folder)
    (picture,) = (attributes for tag, attributes in found.tags if tag == "img")
    assert picture["src"] == "data:image/png;base64,YSBwaWN0dXJl"
    assert "eight images" in picture["alt"]
    assert "Generated images" in found.texts["h2"]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": policy}) in found.tags


def test_ids_are_unique_and_references_resolve(tmp_path):
    text = reports.write_report(make.write_comparison(tmp_path / "c")).read_text(encoding="utf-8")
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:href=\"#|url\(#)(\w+)", text)) <= set(ids)


def test_the_report_is_the_same_bytes_each_time(tmp_path):
    folder = make.write_comparison(tmp_path / "c")
    first = reports.write_report(folder).read_bytes()
    assert reports.write_report(folder).read_bytes() == first


def test_an_external_teacher_is_read_where_it_is_and_may_be_gone(tmp_path):
    runs = make.comparison_runs(1)
    elsewhere = make.write_run(tmp_path / "elsewhere", runs.pop("teacher"))
    folder = make.write_comparison(tmp_path / "c", runs)
    teacher = {str(elsewhere): reports.read_run(elsewhere)}
    reports.write(reports.compare_runs({**teacher, **runs}, name="small"), folder)
    assert str(elsewhere) in page(folder).texts["th"]
    shutil.rmtree(elsewhere)
    found = page(folder)
    assert str(elsewhere) not in found.texts["th"]
    assert "23,528,522" in found.texts["td"]


def test_a_broken_run_in_a_comparison_is_named_and_no_report_is_left(tmp_path):
    folder = make.write_comparison(tmp_path / "c")
    (folder / "distilled-1" / "metrics.csv").write_text("epoch\n", encoding="utf-8")
    with pytest.raises(StillroomError, match=r"distilled-1/metrics\.csv, line 1: the columns are not those of a run"):
        reports.write_report(folder)
    shutil.rmtree(folder / "alone-0")
    with pytest.raises(StillroomError, match=r"alone-0/results\.json: there is no such file\."):
        reports.write_report(folder)
    assert not list(folder.glob("*report.html*"))


def test_importing_the_room_does_not_import_matplotlib():
    code = "import sys, stillroom.reports; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Opens the report in a frame as wide as a phone, and writes down what the browser made of it.
PROBE = """<!doctype html><meta charset="utf-8">
<iframe width="390" height="900" style="border:0" srcdoc="{page}"></iframe>
<pre></pre><script>onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const scrolls = [...page.querySelectorAll(".scroll")].map(box => box.scrollWidth - box.clientWidth);
  const charts = [...page.querySelectorAll("svg")].map(chart => chart.getBoundingClientRect().width);
  const open = page.querySelector("details").open;
  const beyond = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  const ink = getComputedStyle(page.querySelector("svg text")).fill, body = getComputedStyle(page.body).color;
  document.querySelector("pre").textContent = JSON.stringify(
    {{scrolls, charts, open, beyond, ink, body, page: page.documentElement.outerHTML}});
}}</script>"""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def in_a_browser(folder, source):
    """What Chromium measures, and the page as it holds it; the source alone where no Chromium is installed."""
    if (browser := shutil.which("chromium")) is None:
        return None, source
    probe = folder / "probe.html"
    probe.write_text(PROBE.format(page=html.escape(source)), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *FLAGS.split(), profile, "--dump-dom", probe.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    measured = json.loads(html.unescape(re.search(r"<pre>(.+?)</pre>", done.stdout, re.DOTALL)[1]))
    return measured, measured.pop("page")


def test_a_browser_opens_it_on_a_phone(tmp_path):
    folder = make.write_comparison(tmp_path / "c")
    reports.write_judgement(make.judgement(20), folder / "distilled-0")
    source = reports.write_report(folder).read_text(encoding="utf-8")
    measured, shown = in_a_browser(tmp_path, source)
    found = Page(shown)
    assert found.texts["h1"] == ["cifar10-resnet18"]
    assert found.count("svg") == 6
    assert found.count("table") == 6
    assert {"91.00 ± 1.00", "93.20 ± 1.20"} <= set(found.texts["td"])
    if measured is not None:
        assert measured["beyond"] == 0
        assert measured["scrolls"][0] > 0
        assert all(250 < width < 390 for width in measured["charts"])
        assert measured["ink"] == measured["body"]
        assert measured["open"] is False
