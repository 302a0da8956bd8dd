"""The loss of YOLOv3 against plain loops: each part, and the gradient by every number of the heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yolo_reference as reference
from torch import Tensor
from yolo_scenes import CLASSES, Targets, awkward, predictions, random_targets, raw_heads, towards

from stillroom.models.yolo_assign import best_anchor, padded
from stillroom.models.yolo_loss import yolo_loss
from stillroom.models.yolo_network import scales
from stillroom.models.yolov3 import ANCHORS

SIZES = [(96, 96), (64, 128), (160, 96)]


def ours(
    heads: list[Tensor], targets: Targets, size: tuple[int, int], ignore: float = 0.7, delta: float = 0.0
) -> dict[str, Tensor]:
    boxes = padded(targets, count=len(targets), image_size=size, num_classes=CLASSES, like=heads[0])
    own = scales(torch.tensor(ANCHORS, dtype=heads[0].dtype))
    return yolo_loss(predictions(heads), boxes, own, image_size=size, ignore_threshold=ignore, smoothing=delta)


def theirs(heads: list[Tensor], targets: Targets, size: tuple[int, int], ignore: float = 0.7, delta: float = 0.0):
    height, width = size
    images = [
        reference.targets_of(
            each["boxes"].double().numpy(),
            each["labels"].tolist(),
            each.get("scores", torch.ones(len(each["labels"]))).double().tolist(),
            width,
            height,
        )
        for each in targets
    ]
    return reference.yolo_loss([head.numpy() for head in heads], images, list(ANCHORS), ignore=ignore, delta=delta)


def check(heads: list[Tensor], targets: Targets, size: tuple[int, int], **options: float) -> reference.Loss:
    expected = theirs(heads, targets, size, **options)
    leaves = [head.clone().requires_grad_() for head in heads]
    found = ours(leaves, targets, size, **options)
    assert found.keys() == expected.parts.keys()
    for name, value in expected.parts.items():
        assert found[name].item() == pytest.approx(value, rel=1e-12, abs=1e-12), name
    gradients = torch.autograd.grad(sum(found.values()), leaves)
    for gradient, derivative in zip(gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(gradient.numpy(), derivative, rtol=1e-10, atol=1e-13)
    return expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("delta", [0.0, 0.025])
def test_the_loss_and_its_gradient(size: tuple[int, int], delta: float) -> None:
    for seed, targets in enumerate((awkward(size), random_targets(size, seed=2))):
        heads = towards(raw_heads(size=size, count=3, seed=seed), targets)
        expected = check(heads, targets, size, delta=delta)
        assert min(expected.parts.values()) > 1


@pytest.mark.parametrize("size", SIZES[:2])
def test_what_is_ignored(size: tuple[int, int]) -> None:
    """The threshold is seen: predictions that lie on boxes without being theirs have no gradient."""
    targets = random_targets(size, seed=5)
    heads = towards(raw_heads(size=size, count=3, seed=3), targets)
    sums = [check(heads, targets, size, ignore=ignore).parts["objectness"] for ignore in (0.4, 0.7, 1.0)]
    assert sums[0] < sums[1] < sums[2]


def test_a_mutated_definition_is_seen() -> None:
    """What the comparison would not notice it cannot prove: the scenes tell these apart."""
    size = (96, 96)
    targets = awkward(size)
    heads = towards(raw_heads(size=size, count=3, seed=0), targets)
    plain = theirs(heads, targets, size).parts
    unmixed = [{name: value for name, value in each.items() if name != "scores"} for each in targets]
    backwards = [{name: value.flip(0) for name, value in each.items()} for each in targets]
    for changed in (unmixed, backwards):
        other = theirs(heads, changed, size).parts
        assert all(abs(other[name] - plain[name]) > 1e-3 for name in ("centre", "size", "objectness", "classes"))


def test_one_box_by_hand() -> None:
    """A box like the largest anchor, in the middle of a cell of 32 pixels, where all heads say nothing at all."""
    size = (416, 416)
    heads = [torch.zeros(1, 3 * (5 + CLASSES), size[0] // stride, size[1] // stride) for stride in (32, 16, 8)]
    centre, side = torch.tensor([208.0, 208]), torch.tensor([373.0, 326])
    target = {"boxes": torch.cat([centre - side / 2, centre + side / 2])[None], "labels": torch.tensor([1])}
    found = ours(heads, [target], size)
    log2 = torch.tensor(2.0).log()
    weight = 2 - 373 * 326 / 416**2
    cells = 3 * (13**2 + 26**2 + 52**2)
    around = ours(heads, [target], size, ignore=1.0)["objectness"]
    torch.testing.assert_close(found["centre"], 2 * weight * log2)
    torch.testing.assert_close(found["size"], torch.tensor(0.0))
    torch.testing.assert_close(found["classes"], CLASSES * log2)
    torch.testing.assert_close(around, cells * log2)
    # the same box some cells away; other anchors are too small
    whole, away = 373 * 326, [abs(step) * 32 for step in range(-6, 7)]
    shared = [(373 - dx) * (326 - dy) for dx in away for dy in away]
    hidden = sum(each / (2 * whole - each) > 0.7 for each in shared)
    assert hidden == 11
    torch.testing.assert_close(found["objectness"], (cells - hidden + 1) * log2)


def test_an_overlap_at_the_threshold_is_not_ignored() -> None:
    """Where nothing is said the second anchor of the finest head is 16 x 30 around its cell's middle; a quarter."""
    heads = [torch.zeros(1, 3 * (5 + CLASSES), 64 // stride, 64 // stride) for stride in (32, 16, 8)]
    target = {"boxes": torch.tensor([[32.0, 28.5, 40, 43.5]]), "labels": torch.tensor([0])}
    losses = [ours(heads, [target], (64, 64), ignore=ignore)["objectness"] for ignore in (0.2499, 0.25)]
    torch.testing.assert_close(losses[1] - losses[0], torch.tensor(2.0).log(), rtol=1e-4, atol=0)


def test_a_centre_that_rounds_to_the_border_is_in_the_last_cell() -> None:
    heads = [torch.zeros(1, 3 * (5 + CLASSES), 64 // stride, 96 // stride) for stride in (32, 16, 8)]
    least = [torch.nextafter(torch.tensor(side), torch.tensor(0.0)).item() for side in (96.0, 64.0)]
    boxes = torch.tensor([[*least, 96.0, 64.0]])
    assert ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist() == [[96.0, 64.0]]
    found = ours(heads, [{"boxes": boxes, "labels": torch.tensor([1])}], (64, 96))
    torch.testing.assert_close(found["centre"], 2 * 2 * torch.tensor(2.0).log())


def test_no_box_in_the_whole_batch() -> None:
    size = (64, 96)
    heads = raw_heads(size=size, count=2, seed=1)
    expected = check(heads, random_targets(size, seed=0, counts=(0, 0)), size)
    assert [name for name, value in expected.parts.items() if value] == ["objectness"]


def test_the_loss_is_the_mean_over_the_images() -> None:
    size = (96, 96)
    heads, targets = raw_heads(size=size, count=3, seed=4), awkward(size)
    together = ours(heads, targets, size)
    alone = [ours([head[i : i + 1] for head in heads], targets[i : i + 1], size) for i in range(3)]
    for name, value in together.items():
        torch.testing.assert_close(value, sum(each[name] for each in alone) / 3)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_extremes_are_finite(scale: float) -> None:
    size = (64, 64)
    targets = awkward(size)
    heads = [torch.full_like(head, scale).float().requires_grad_() for head in raw_heads(size=size, count=3, seed=0)]
    found = ours(heads, targets, size)
    assert all(value.isfinite() for value in found.values())
    assert all(each.isfinite().all() for each in torch.autograd.grad(sum(found.values()), heads))


def test_the_first_of_equal_anchors() -> None:
    anchors = torch.tensor([[10.0, 20], [20, 10], [10, 20]])
    size = torch.tensor([[[10.0, 20], [10, 10], [20, 20], [22, 10]]])
    assert best_anchor(size, anchors).tolist() == [[0, 0, 0, 1]]
