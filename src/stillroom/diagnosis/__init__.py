"""Diagnosis: which places of two models belong together, how similar they are, and what is wrong with a distiller."""

from stillroom.diagnosis.certain import certain
from stillroom.diagnosis.cka import cka
from stillroom.diagnosis.counting import ModelSize, model_size
from stillroom.diagnosis.doctor import Examination, TermRow, examine, shared
from stillroom.diagnosis.findings import Finding, Severity, worst_first
from stillroom.diagnosis.frozen import networks, put_back
from stillroom.diagnosis.pairing import Pair
from stillroom.diagnosis.similarity import Similarity, similarity
from stillroom.diagnosis.stages import Stage
from stillroom.diagnosis.suggest import suggest
from stillroom.diagnosis.suggestions import Suggestions

__all__ = [
    "Examination",
    "Finding",
    "ModelSize",
    "Pair",
    "Severity",
    "Similarity",
    "Stage",
    "Suggestions",
    "TermRow",
    "certain",
    "cka",
    "examine",
    "model_size",
    "networks",
    "put_back",
    "shared",
    "similarity",
    "suggest",
    "worst_first",
]
