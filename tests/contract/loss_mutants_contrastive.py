"""As loss_mutants.py, for the losses that contrast samples."""

from __future__ import annotations

import math
from typing import Any

import torch
from loss_mutants import original
from loss_subjects import Subject
from torch import Tensor, nn

from stillroom import losses


class OwnBanks(losses.CRD):
    """Each side is compared with its own bank, not with the other's."""

    def forward(self, *sides: Tensor, **context: Any) -> Tensor:
        self.student_bank, self.teacher_bank = self.teacher_bank, self.student_bank
        value = super().forward(*sides, **context)
        self.student_bank, self.teacher_bank = self.teacher_bank, self.student_bank
        return value


class NormalizedAnew(losses.CRD):
    """Z is that of every batch."""

    def forward(self, *sides: Tensor, **context: Any) -> Tensor:
        for bank in (self.student_bank, self.teacher_bank):
            bank.log_z.fill_(-math.inf)
        return super().forward(*sides, **context)


class MovedFirst(losses.CRD):
    """The banks move before they are looked at: each sample is compared with itself."""

    def forward(self, *sides: Tensor, **context: Any) -> Tensor:
        with torch.random.fork_rng(devices=()):
            super().forward(*sides, **context)
        return super().forward(*sides, **context)


_CRD = original("CRD", student_dim=3, teacher_dim=3, samples=9, dim=4, negatives=5)
WRONG_MODULES: dict[str, tuple[Subject, type[nn.Module]]] = {
    "CRD with banks that are not crossed": (_CRD, OwnBanks),
    "CRD with a normaliser for each batch": (_CRD, NormalizedAnew),
    "CRD that moves its banks first": (_CRD, MovedFirst),
}
