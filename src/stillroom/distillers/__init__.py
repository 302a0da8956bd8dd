"""A distiller is a student, its teachers and the terms between them: one forward pass gives output and losses."""

from stillroom.distillers.distilled import Distilled
from stillroom.distillers.distiller import Distiller
from stillroom.distillers.ensemble import Ensemble
from stillroom.distillers.inherit import inherit
from stillroom.distillers.schedule import Between, Constant, Decay, Schedule, WarmUp, as_schedule
from stillroom.distillers.teacher import Teacher, call
from stillroom.distillers.term import Term, default_terms

__all__ = [
    "Between",
    "Constant",
    "Decay",
    "Distilled",
    "Distiller",
    "Ensemble",
    "Schedule",
    "Teacher",
    "Term",
    "WarmUp",
    "as_schedule",
    "call",
    "default_terms",
    "inherit",
]
