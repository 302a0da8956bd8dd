"""Recorders read the values of one site while a model runs."""

from stillroom.recorders.items import describe, pick
from stillroom.recorders.listing import SiteInfo, list_sites
from stillroom.recorders.modules import (
    ModuleInputs,
    ModuleOutputs,
    NeverCalledError,
    Recorder,
    chosen,
    find_module,
    unwrap,
)
from stillroom.recorders.record import Recorded, record
from stillroom.recorders.site import Site, parse_site
from stillroom.recorders.tap import Tap

__all__ = [
    "ModuleInputs",
    "ModuleOutputs",
    "NeverCalledError",
    "Recorded",
    "Recorder",
    "Site",
    "SiteInfo",
    "Tap",
    "chosen",
    "describe",
    "find_module",
    "list_sites",
    "parse_site",
    "pick",
    "record",
    "unwrap",
]
