"""A trained model into files that others can use, each read back and compared, and what the model costs."""

from __future__ import annotations

from stillroom.export.choices import same_choices
from stillroom.export.exported_program import write_exported_program
from stillroom.export.measure import ModelFacts, model_facts
from stillroom.export.onnx_file import write_onnx
from stillroom.export.parity import same_values
from stillroom.export.plain import ModelCard, read_plain, write_plain
from stillroom.export.safetensors_file import write_safetensors

__all__ = [
    "ModelCard",
    "ModelFacts",
    "model_facts",
    "read_plain",
    "same_choices",
    "same_values",
    "write_exported_program",
    "write_onnx",
    "write_plain",
    "write_safetensors",
]
