"""Variants: one recipe for several ways that differ in a few sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.build import mapping

KEY, ALL = "variant", "variants"


def chosen(recipe: Mapping[str, Any], words: Sequence[str], *, name: str) -> tuple[dict[str, Any], list[str]]:
    """The recipe with the sections of one of its variants in place of its own, and the words that are left.

    ``variants`` maps names to sections of a recipe, ``variant`` says which one is meant, and ``variant=NAME`` among
    the words says another. A section of a variant replaces the recipe's as a whole. The recipe that comes out is
    called ``<name>-<variant>`` and has no variants any more.

    Raises:
        StillroomError: there is no such variant, or none is chosen.
    """
    plain = dict(recipe)
    variants = mapping(ALL, plain.pop(ALL, None))
    said = [word.partition("=")[2] for word in words if word.partition("=")[0] == KEY]
    wanted: Any = said[-1] if said else plain.get(KEY)
    plain.pop(KEY, None)
    rest = [word for word in words if word.partition("=")[0] != KEY]
    if not variants:
        if wanted is not None:
            raise StillroomError(f"the recipe {name!r} has no variants", where=KEY, got=wanted)
        return plain, rest
    if wanted not in variants:
        fix = did_you_mean(str(wanted), variants) if wanted is not None else f"There are {', '.join(variants)}."
        raise StillroomError("there is no such variant", where=KEY, got=repr(wanted), fix=fix)
    section = mapping(f"{ALL}.{wanted}", variants[cast("str", wanted)])
    return {**plain, "name": f"{plain.get('name') or name}-{wanted}", **section}, rest
