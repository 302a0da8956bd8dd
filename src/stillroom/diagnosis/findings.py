"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from stillroom.errors import StillroomError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something that was seen, and what to do about it.

    Attributes:
        severity: ``"error"``: certain, and the training fails or learns nothing of it; ``"warning"``: likely a mistake;
            ``"note"``: worth knowing.
        where: the recipe's key.
        seen: what was seen, with numbers, as a clause without a full stop.
        fix: what to do, in sentences.
    """

    severity: Severity
    where: str
    seen: str
    fix: str = ""

    @classmethod
    def of(cls, error: StillroomError) -> Finding:
        """What an exception says."""
        text = str(StillroomError(error.problem, expected=error.expected, got=error.got))
        return cls("error", error.where or "", text.rstrip("."), error.fix)

    def refusal(self) -> StillroomError:
        """The same as an exception."""
        return StillroomError(self.seen, where=self.where or None, fix=self.fix)

    def __str__(self) -> str:
        return f"{self.severity}: {self.refusal()}"


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes, each in the order in which they were found; the same one once."""
    severities = get_args(Severity)
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: severities.index(finding.severity)))
