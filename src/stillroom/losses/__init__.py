"""Losses: tensors in, one number out. Each is a function, which detaches nothing, and the module around it."""

from __future__ import annotations

from stillroom.losses.attention_transfer import AttentionTransfer, attention_transfer
from stillroom.losses.facts import Facts
from stillroom.losses.fsp import FSP, fsp
from stillroom.losses.hard_label import HardLabel, hard_label
from stillroom.losses.kl_divergence import KLDivergence, kl_divergence
from stillroom.losses.l1 import L1, l1
from stillroom.losses.l2 import L2, l2
from stillroom.losses.soft_label import SoftLabel, soft_label

__all__ = [
    "FSP",
    "L1",
    "L2",
    "AttentionTransfer",
    "Facts",
    "HardLabel",
    "KLDivergence",
    "SoftLabel",
    "attention_transfer",
    "fsp",
    "hard_label",
    "kl_divergence",
    "l1",
    "l2",
    "soft_label",
]
