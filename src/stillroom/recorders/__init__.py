"""Recorders read the values of one site while a model runs."""

from stillroom.recorders.called import CallInfo, list_calls
from stillroom.recorders.calls import FunctionInputs, FunctionOutputs, MethodInputs, MethodOutputs
from stillroom.recorders.gradients import Gradients
from stillroom.recorders.items import Item, changed, describe, pick, replaced
from stillroom.recorders.listing import (
    ParameterInfo,
    SiteInfo,
    list_parameters,
    list_sites,
)
from stillroom.recorders.modules import ModuleInputs, ModuleOutputs, expect_model, find_module, unwrap
from stillroom.recorders.parameter import Parameter
from stillroom.recorders.record import Recorded, record
from stillroom.recorders.recorder import NeverCalledError, Recorder
from stillroom.recorders.site import Site, parse_site
from stillroom.recorders.submodule import Submodule
from stillroom.recorders.tap import HookTap, Tap

__all__ = [
    "CallInfo",
    "FunctionInputs",
    "FunctionOutputs",
    "Gradients",
    "HookTap",
    "Item",
    "MethodInputs",
    "MethodOutputs",
    "ModuleInputs",
    "ModuleOutputs",
    "NeverCalledError",
    "Parameter",
    "ParameterInfo",
    "Recorded",
    "Recorder",
    "Site",
    "SiteInfo",
    "Submodule",
    "Tap",
    "changed",
    "describe",
    "expect_model",
    "find_module",
    "list_calls",
    "list_parameters",
    "list_sites",
    "parse_site",
    "pick",
    "record",
    "replaced",
    "unwrap",
]
