"""A program is the traced computation of a model; those of a student and its teachers can be one, and pruned."""

from stillroom.programs.distiller import ProgramDistiller, distiller
from stillroom.programs.merge import merge
from stillroom.programs.operation import TensorInfo
from stillroom.programs.program import Program, Pruned
from stillroom.programs.trace import trace

__all__ = ["Program", "ProgramDistiller", "Pruned", "TensorInfo", "distiller", "merge", "trace"]
