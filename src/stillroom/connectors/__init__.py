"""Connectors adapt a feature before the loss; any ``nn.Module`` is one."""

from stillroom.connectors.auto import infer
from stillroom.connectors.conv1x1 import Conv1x1
from stillroom.connectors.identity import Identity
from stillroom.connectors.linear import Linear

__all__ = ["Conv1x1", "Identity", "Linear", "infer"]
