"""Images with boxes, a detector that finds what it is told, and its precision counted by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Found = dict[str, Tensor]


class Says(nn.Module):
    """A detector that finds what it is told, and whose loss is the number of images it is given."""

    def __init__(self, found: list[Found]) -> None:
        super().__init__()
        self.found = found

    def forward(self, images: Tensor, targets: list[Found] | None = None) -> object:
        where = images.flatten(1)[:, 0].int().tolist()
        return [self.found[index] for index in where] if targets is None else {"loss": images.mean()}


def random_boxes(generator: torch.Generator, count: int) -> Tensor:
    corner = 60 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + 10 + 30 * torch.rand(count, 2, generator=generator)], 1)


def scene(images: int = 12, classes: int = 3) -> tuple[list[Found], list[Found]]:
    """Targets, and detections of which some fit, some are shifted, some doubled, some invented."""
    generator = torch.Generator().manual_seed(0)
    targets, found = [], []
    for _ in range(images):
        count = int(torch.randint(0, 6, (), generator=generator))
        boxes, labels = random_boxes(generator, count), torch.randint(classes, (count,), generator=generator)
        near = torch.cat([boxes, boxes[:2]])
        near = near + 5 * torch.randn(near.shape, generator=generator)
        invented = random_boxes(generator, 3)
        seen = torch.cat([labels, labels[:2], torch.randint(classes, (3,), generator=generator)])
        scores = torch.rand(len(seen), generator=generator)
        targets.append({"boxes": boxes, "labels": labels})
        found.append({"boxes": torch.cat([near, invented]), "scores": scores, "labels": seen})
    return targets, found


def iou(a: list[float], b: list[float]) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    return shared / (sum(areas) - shared)


def average_precision(targets: list[Found], found: list[Found], label: int) -> float | None:
    """COCO's, by hand: detections by score, each takes the best box left; precision at 101 recalls."""
    boxes = [[b.tolist() for b, k in zip(t["boxes"], t["labels"], strict=True) if k == label] for t in targets]
    total = sum(map(len, boxes))
    if not total:
        return None
    every = [
        (score.item(), image, box.tolist())
        for image, each in enumerate(found)
        for box, score, k in zip(each["boxes"], each["scores"], each["labels"], strict=True)
        if k == label
    ]
    right, points = 0, []
    for number, (_, image, box) in enumerate(sorted(every, reverse=True), 1):
        overlaps = [iou(box, other) for other in boxes[image]]
        if overlaps and max(overlaps) >= 0.5:
            del boxes[image][overlaps.index(max(overlaps))]
            right += 1
        points.append((right / total, right / number))
    recalls = [step / 100 for step in range(101)]
    return sum(max((p for r, p in points if r >= recall - 1e-12), default=0.0) for recall in recalls) / 101
