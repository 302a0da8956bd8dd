"""Measures that torchmetrics lacks."""

from stillroom.metrics.voc import VOCAveragePrecision

__all__ = ["VOCAveragePrecision"]
