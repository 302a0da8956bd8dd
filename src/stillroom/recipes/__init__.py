"""Recipes: YAML files that run as they stand, found by name, and what their ``trainer`` section may say."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from stillroom.errors import StillroomError, did_you_mean


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(resources.files("stillroom.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def is_recipe(name: str | Path) -> bool:
    """Whether this is a recipe's name, or the path of a YAML file, be it there or not."""
    return _is_file(name) or str(name) in shipped()


def _is_file(name: str | Path) -> bool:
    return Path(name).suffix in (".yaml", ".yml")


def find_recipe(name: str | Path, *, where: str = "-c") -> Path:
    """The file of a recipe: a path, or the name of one that is shipped.

    Args:
        name: of the recipe.
        where: the key or option that names it.

    Raises:
        StillroomError: there is neither.
    """
    path = Path(name)
    if _is_file(path):
        if path.is_file():
            return path
        raise StillroomError("there is no such recipe file", where=where, got=str(name))
    known = shipped()
    if str(name) not in known:
        expected = "a name or a .yaml file" if path.exists() else None
        fix = did_you_mean(str(name), known)
        raise StillroomError(f"there is no recipe {str(name)!r}", where=where, expected=expected, fix=fix)
    return known[str(name)]


def summary(path: Path) -> str:
    """What the comment at the head of a recipe says, its first sentence."""
    lines = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    text = " ".join(lines)
    return text.partition(". ")[0].partition(": ")[0].rstrip(".")
