"""A YOLOv3 that takes a second to train, on the generated set of boxes."""

from __future__ import annotations

from pathlib import Path

from stillroom.runs import Recipe, read_recipe


def tiny(root: Path, *words: str) -> Recipe:
    whole = ["student.class_path=YOLOv3", "student.backbone=test_resnet", "student.num_classes=2", "student.width=32"]
    whole += [f"data.{word}" for word in (f"root={root}", "folder=voc", "image_size=64", "batch_size=3")]
    whole += ["trainer.max_epochs=3", "trainer.progress=false", "trainer.log_every=1"]
    return read_recipe("retinanet-bccd", [*whole, *words])
