"""Functions and classes whose calls are intercepted."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

root = math.sqrt
LIMIT = 3


def double(x: float, *, times: int = 2) -> float:
    return x * times


def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial(n - 1)


@functools.lru_cache
def cached(x: int) -> int:
    return x + 1


class Base:
    size = 3
    root = math.sqrt

    def plain(self, x: int, k: int = 1) -> str:
        return f"Base.plain({x}, {k})"

    @staticmethod
    def static(x: int, k: int = 1) -> str:
        return f"Base.static({x}, {k})"

    @classmethod
    def made(cls, x: int) -> str:
        return f"{cls.__name__}.made({x})"

    @property
    def shown(self) -> int:
        return 1

    def count(self, n: int) -> int:
        return n if n == 0 else self.count(n - 1)


class Heir(Base):
    """Inherits everything."""


class Other(Base):
    """Overrides everything, and asks its parent."""

    def plain(self, x: int, k: int = 1) -> str:
        return f"Other.plain > {super().plain(x, k)}"

    @staticmethod
    def static(x: int, k: int = 1) -> str:
        return f"Other.static > {Base.static(x, k)}"

    @classmethod
    def made(cls, x: int) -> str:
        return f"Other.made > {super().made(x)}"


class Log:
    """Notes the calls that it intercepts, and lets them pass."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, proceed: Callable[[], Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.append((args, dict(kwargs)))
        return proceed()


def entries() -> dict[str, object]:
    """What the classes and this module hold, as it is held."""
    owners = {"Base": Base, "Heir": Heir, "Other": Other}
    held = {f"{owner}.{name}": value for owner, cls in owners.items() for name, value in vars(cls).items()}
    return held | {name: globals()[name] for name in ("double", "factorial", "cached", "root")}
