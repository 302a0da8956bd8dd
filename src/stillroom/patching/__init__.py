"""Watching and replacing for a while what belongs to somebody else, and always putting it back."""

from stillroom.patching.calls import Interceptor, Target
from stillroom.patching.checkpointing import in_backward, in_checkpoint, in_reentrant_checkpoint
from stillroom.patching.find import find_function, find_method
from stillroom.patching.hooks import Patches, drop_stand_ins, nothing
from stillroom.patching.instances import ForwardTarget
from stillroom.patching.torch_functions import torch_calls

__all__ = [
    "ForwardTarget",
    "Interceptor",
    "Patches",
    "Target",
    "drop_stand_ins",
    "find_function",
    "find_method",
    "in_backward",
    "in_checkpoint",
    "in_reentrant_checkpoint",
    "nothing",
    "torch_calls",
]
