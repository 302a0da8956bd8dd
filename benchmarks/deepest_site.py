"""What a teacher costs that runs to its deepest site only: resnet32x4 beside resnet8x4, batch 64, two threads."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import torch

from stillroom import Distiller, Term
from stillroom.losses import L2, KLDivergence
from stillroom.models import resnet8x4, resnet32x4

ROUNDS, SITES = 9, ("stem", "layer1", "layer2", "layer3")


def taught(distiller: Distiller, images: torch.Tensor) -> float:
    """Seconds of the teacher's part of a step."""
    began = perf_counter()
    distiller.teach(images)
    return perf_counter() - began


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    images = torch.randn(64, 3, 32, 32)
    terms = {"the logits": Term(KLDivergence())}
    arms = {"the logits": terms} | {
        site: {"hint": Term(L2(), student=site, teacher=site, connector="auto")} for site in SITES
    }
    distillers = {name: Distiller(resnet8x4(), resnet32x4(), terms=each) for name, each in arms.items()}
    for distiller in distillers.values():
        distiller.prepare(images)
        taught(distiller, images)  # the first pass is a whole one
    seconds: dict[str, list[float]] = {name: [] for name in distillers}
    for turn in range(ROUNDS):
        for name in list(distillers)[:: 1 if turn % 2 == 0 else -1]:
            seconds[name].append(taught(distillers[name], images))
    whole = seconds["the logits"]
    for name, each in seconds.items():
        ratio = median(one / all_ for one, all_ in zip(each, whole, strict=True))
        print(f"{name:12} {1000 * min(each):8.1f} ms   {ratio:.2f} of the whole")


if __name__ == "__main__":
    main()
