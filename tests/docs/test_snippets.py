"""Everything that the documentation shows runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from stillroom.cli.main import COMMANDS, main
from stillroom.models import SmallCNN
from stillroom.runs.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def digits() -> tuple[Tensor, Tensor]:
    """Three classes of stripes that any network learns in an epoch."""
    labels = torch.arange(96) % 3
    images = 0.1 * torch.randn(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for index, label in enumerate(labels.tolist()):
        images[index, 0, :, label * 2] += 2
    return images, labels


@pytest.fixture
def names() -> dict[str, object]:
    """What the pages call ``student``, ``teacher``, ``loader`` ..."""
    torch.manual_seed(0)
    images, labels = digits()
    teacher = SmallCNN(num_classes=3, width=8)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(teacher(images), labels).backward()
        optimizer.step()
    sets = TensorDataset(images, labels)
    return {
        "student": SmallCNN(num_classes=3, width=4),
        "teacher": teacher,
        "make_student": lambda: SmallCNN(num_classes=3, width=4),
        "images": images[:8],
        "loader": DataLoader(sets, batch_size=16),
        "train_set": sets,
        "val_set": sets,
    }


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page: Path, names: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name}, python block {number}", "exec"), names)
    if page.stem.startswith("README"):
        assert list(tmp_path.glob("runs/*/report.html"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_these_options(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is parsed by its own command, which is kept from running."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line.partition(" && ")[2] or line, comments=True)
            if words and words[0] == "stillroom":
                assert words[1] in COMMANDS, line
                monkeypatch.setattr(f"stillroom.cli.{words[1]}.run", lambda _: print("parsed"))
                assert main(words[1:]) == 0, line
                assert capsys.readouterr().out == "parsed\n", line


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name)
def test_recipes_are_recipes(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
        assert read_recipe(tmp_path / "recipe.yaml").distils


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_both_readmes_show_the_same_code() -> None:
    """Comments are translated; the code, the commands and the sections are the same."""
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
    for language in ("python", "sh"):
        bare = [[re.sub(r"\s*#.*", "", block) for block in blocks(page, language)] for page in (english, chinese)]
        assert bare[0] == bare[1]
    headings = [re.findall(r"^#+ ", page.read_text(encoding="utf-8"), re.MULTILINE) for page in (english, chinese)]
    assert headings[0] == headings[1]


def test_lengths() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 100
