"""Copies of the generated sets, to be changed."""

import json


def made(kind, root, **options):
    name = kind.__name__.lower()
    return kind(**{"root": str(root), "folder": name, "splits": ("train", "val", None), "batch_size": 2, **options})


def annotation(folder, name, *objects):
    """Of (name, xmin, ymin, xmax, ymax) or with ``difficult`` in front of these."""
    text = "".join(
        f"<object><name>{name}</name><difficult>{int(bool(hard))}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for *hard, name, x1, y1, x2, y2 in objects
    )
    (folder / "voc" / "Annotations" / f"{name}.xml").write_text(f"<annotation>{text}</annotation>")


def edited(folder, split, change):
    path = folder / "coco" / "annotations" / f"instances_{split}.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
