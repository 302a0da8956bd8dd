"""Runs: from objects or a recipe to a run folder, and back to a model."""

from stillroom.runs.compare import compare_recipe, resume_comparison
from stillroom.runs.distill import compare, distill
from stillroom.runs.fit import InterruptedRun
from stillroom.runs.load import load
from stillroom.runs.recipe import Recipe, read_recipe
from stillroom.runs.run import Comparison, Run
from stillroom.runs.train import resume, train

__all__ = [
    "Comparison",
    "InterruptedRun",
    "Recipe",
    "Run",
    "compare",
    "compare_recipe",
    "distill",
    "load",
    "read_recipe",
    "resume",
    "resume_comparison",
    "train",
]
