"""One of several values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from stillroom.errors import StillroomError


@final
class Item(nn.Module):
    """Picks one of the values that the connector before it in a chain gives, or of a tuple of sites.

    What a model returns needs no connector: the item stands in the site, ``"head[0]"``.

    Args:
        index: its position, counted from 0, or its name.

    Shape:
        Several values in, one of them out.

    Raises:
        StillroomError: there is one value only, or none of this position or name.
    """

    def __init__(self, index: int | str) -> None:
        super().__init__()
        self.index = index

    def forward(self, values: Any) -> Any:
        if not isinstance(values, Tensor):
            named = isinstance(self.index, str) and not isinstance(values, Mapping)
            try:
                return getattr(values, str(self.index)) if named else values[self.index]
            except (AttributeError, KeyError, IndexError, TypeError):
                pass
        kind = "one tensor" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise StillroomError(f"there is no item {self.index!r}", expected="several values", got=kind)

    def extra_repr(self) -> str:
        return repr(self.index)
