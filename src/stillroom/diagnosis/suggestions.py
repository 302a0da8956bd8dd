"""Pairs of sites as terms: objects for a distiller, or YAML for a recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from stillroom.diagnosis.pairing import Pair
from stillroom.distillers import Term
from stillroom.losses import L2, KLDivergence

TAU, WEIGHT = 4.0, 1.0
"""The temperature of the term on the logits, and the weight of every term: a place to start from."""
WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""What YAML takes for something else than text."""


@dataclass(frozen=True)
class Suggestions:
    """What a student could learn from a teacher.

    Attributes:
        pairs: of features, from the largest map to the smallest, or from the first block to the last.
        logits: the two outputs, where both are logits of as many classes; or None.
        notes: what else there is to know.
    """

    pairs: tuple[Pair, ...]
    logits: Pair | None
    notes: tuple[str, ...] = ()

    def terms(self, *, teacher: str | None = None) -> dict[str, Term]:
        """A term for each pair, new ones each time: ``Distiller(student, teacher, terms=found.terms())``.

        Each has weight 1, which is a place to start from: L2 is a mean over all elements, and takes a larger one.

        Args:
            teacher: name of the teacher, where the distiller has several.
        """
        found: dict[str, Term] = {}
        if (logits := self.logits) is not None:
            sites = _sites(logits, teacher)
            found["kl"] = Term(
                KLDivergence(tau=TAU), student=sites.get("student"), teacher=sites.get("teacher"), weight=WEIGHT
            )
        for pair in self.pairs:
            sites = _sites(pair, teacher)
            found[pair.name] = Term(
                L2(),
                student=sites.get("student"),
                teacher=sites.get("teacher"),
                connector=pair.adapter.connector,
                teacher_connector=pair.adapter.teacher_connector,
                weight=WEIGHT,
            )
        return found

    def yaml(self, *, teacher: str | None = None) -> str:
        """The same terms as the section of a recipe, with the reasons and flags as comments.

        Args:
            teacher: name of the teacher, where the recipe has several.
        """
        lines = ["terms:"]
        if (logits := self.logits) is not None:
            loss = {"class_path": "KLDivergence", "init_args": {"tau": TAU}}
            lines += _written("kl", logits, {"loss": loss, **_sites(logits, teacher), "weight": WEIGHT})
        for pair in self.pairs:
            parts: dict[str, Any] = {"loss": "L2", **_sites(pair, teacher)}
            if pair.adapter.is_auto:
                parts["connector"] = "auto"
            elif pair.adapter.student:
                parts["connector"] = [step.plain() for step in pair.adapter.student]
            if pair.adapter.teacher:
                parts["teacher_connector"] = [step.plain() for step in pair.adapter.teacher]
            lines += _written(pair.name, pair, {**parts, "weight": WEIGHT})
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.yaml() + "".join(f"# {note}\n" for note in self.notes)


def _sites(pair: Pair, teacher: str | None) -> dict[str, str]:
    """What a term says of its sites: nothing of a model's own output."""
    of_teacher = pair.teacher.site if teacher is None else f"{teacher}/{pair.teacher.site}"
    return {side: site for side, site in (("student", pair.student.site), ("teacher", of_teacher)) if site}


def _written(name: str, pair: Pair, parts: Mapping[str, Any]) -> list[str]:
    lines = [f"  {name}:  # {pair.reason}", *(f"    # {flag}" for flag in pair.flags)]
    for key, value in parts.items():
        if isinstance(value, list):
            lines += [f"    {key}:", *(f"    - {_flow(part)}" for part in cast("list[Any]", value))]
        else:
            lines.append(f"    {key}: {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    """A value as YAML writes it in one line; text that YAML would read as something else in quotes."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(part)}' for key, part in cast('Mapping[str, Any]', value).items())}}}"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./]*", value) and value.lower() not in WORDS:
        return value
    return json.dumps(value)
