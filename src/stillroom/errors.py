"""The one exception of stillroom, and how its messages are written.

A message has up to four parts: where (a recipe key, a term, a site, a file), what is wrong with what was expected and
what came, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StillroomError(ValueError):
    """Anything that stillroom refuses.

    Args:
        problem: what is wrong, as a clause without a full stop.
        where: the recipe key, term, site or file in which it was found; stands before the problem.
        expected: what would have been right.
        got: what came instead, with its values and shapes.
        fix: what the user can do, as a sentence.
    """

    def __init__(
        self, problem: str, *, where: str | None = None, expected: object = None, got: object = None, fix: str = ""
    ) -> None:
        self.problem, self.where, self.expected, self.got, self.fix = problem, where, expected, got, fix
        self.args = (self._text(),)  # and not super().__init__(), which torch.compile before 2.15 cannot follow

    def at(self, where: str) -> StillroomError:
        """The same error, found deeper inside ``where`` (``"terms"`` + ``"kl.loss"`` reads ``terms.kl.loss``)."""
        joined = where if self.where is None else f"{where}.{self.where}"
        return type(self)(self.problem, where=joined, expected=self.expected, got=self.got, fix=self.fix)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.problem, self.where, self.expected, self.got, self.fix)

    def _text(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.got is not None:
            text += f"{',' if self.expected is not None else ';'} got {self.got}"
        return f"{text}. {self.fix}".rstrip() if self.fix else f"{text}."


def _rebuilt(
    kind: type[StillroomError], problem: str, where: str | None, expected: object, got: object, fix: str
) -> StillroomError:
    return kind(problem, where=where, expected=expected, got=got, fix=fix)


def nearest(word: str, options: Iterable[str], *, most: int = 3, cutoff: float = 0.5) -> list[str]:
    """The options that look most like ``word``, best first; the letters' case does not count.

    Args:
        word, options: what was written, and what there is.
        most: how many.
        cutoff: from which likeness on, 0 to 1.
    """
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(word.lower(), by_lower, n=most, cutoff=cutoff)
    return [by_lower[lower] for lower in found]


def did_you_mean(word: str, options: Iterable[str], *, else_all: str = "There are") -> str:
    """``"Did you mean 'a' or 'b'?"``, or the options themselves where none is near, or nothing where there are none."""
    options = list(options)
    if near := nearest(word, options):
        return f"Did you mean {' or '.join(repr(option) for option in near)}?"
    shown = ", ".join(sorted(options)[:12]) + (", ..." if len(options) > 12 else "")
    return f"{else_all}: {shown}." if options else ""
