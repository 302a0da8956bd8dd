"""Knowledge distillation on PyTorch: a large trained network makes a small one better.

Importing this package needs torch alone. What trains whole runs (``distill``, ``compare``, ``load``), and ``suggest``,
is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stillroom import connectors, losses
from stillroom.deliveries import FunctionDelivery, MethodDelivery, ModuleDelivery
from stillroom.distillers import (
    Between,
    Constant,
    Decay,
    Distilled,
    Distiller,
    Ensemble,
    Schedule,
    Teacher,
    Term,
    WarmUp,
    inherit,
)
from stillroom.errors import StillroomError
from stillroom.recorders import (
    FunctionInputs,
    FunctionOutputs,
    Gradients,
    MethodInputs,
    MethodOutputs,
    ModuleInputs,
    ModuleOutputs,
    Parameter,
    Site,
    Submodule,
    record,
)

if TYPE_CHECKING:
    from stillroom.diagnosis import Suggestions, suggest
    from stillroom.runs import Comparison, Run, compare, distill, load

__all__ = [
    "Between",
    "Comparison",
    "Constant",
    "Decay",
    "Distilled",
    "Distiller",
    "Ensemble",
    "FunctionDelivery",
    "FunctionInputs",
    "FunctionOutputs",
    "Gradients",
    "MethodDelivery",
    "MethodInputs",
    "MethodOutputs",
    "ModuleDelivery",
    "ModuleInputs",
    "ModuleOutputs",
    "Parameter",
    "Run",
    "Schedule",
    "Site",
    "StillroomError",
    "Submodule",
    "Suggestions",
    "Teacher",
    "Term",
    "WarmUp",
    "compare",
    "connectors",
    "distill",
    "inherit",
    "load",
    "losses",
    "record",
    "suggest",
]

_ROOMS = {
    **dict.fromkeys(("Comparison", "Run", "compare", "distill", "load"), "stillroom.runs"),
    **dict.fromkeys(("Suggestions", "suggest"), "stillroom.diagnosis"),
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
