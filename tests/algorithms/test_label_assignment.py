"""Label assignment distillation: a detector is trained on the anchors that its teacher assigns to the boxes.

The reference asks the teacher's own matcher and torchvision's own loss, with no hook in sight.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from stillroom import Distiller, MethodDelivery
from stillroom.algorithms import Offline, as_task
from stillroom.models import RetinaNet

PATH = "torchvision.models.detection._utils.Matcher.__call__"

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training.*"),
]


def detector(seed: int, **options: Any) -> RetinaNet:
    torch.manual_seed(seed)
    return RetinaNet(num_classes=2, backbone="test_resnet", channels=16, anchor_scale=2.0, **options)


@pytest.fixture
def teacher() -> RetinaNet:
    return detector(1, fg_iou_thresh=0.3, bg_iou_thresh=0.15)


@pytest.fixture
def student() -> RetinaNet:
    return detector(0)


@pytest.fixture
def inputs() -> dict[str, Any]:
    """The last image has no boxes: neither matcher is called for it."""
    boxes = [torch.tensor([[4.0, 6, 30, 40], [20, 20, 60, 55]]), torch.tensor([[8.0, 30, 24, 44]]), torch.zeros(0, 4)]
    targets = [{"boxes": each, "labels": torch.arange(len(each))} for each in boxes]
    return {"images": torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2)), "targets": targets}


class Watched(nn.Module):
    """A detector that notes which assignments its loss was computed of."""

    def __init__(self, detector: RetinaNet) -> None:
        super().__init__()
        self.inner = detector
        self.assigned: list[list[Tensor]] = []
        head = detector.detector.head
        compute = head.compute_loss

        def noting(targets: Any, outputs: Any, anchors: Any, matched: list[Tensor]) -> Any:
            self.assigned.append([each.clone() for each in matched])
            return compute(targets, outputs, anchors, matched)

        head.compute_loss = noting

    def forward(self, images: Tensor, targets: Any = None) -> Any:
        return self.inner(images, targets)


def anchors_of(model: RetinaNet, images: Tensor) -> list[Tensor]:
    seen: list[list[Tensor]] = []
    hook = model.detector.anchor_generator.register_forward_hook(lambda _m, _a, output: seen.append(output))
    with torch.no_grad():
        model(images)
    hook.remove()
    return seen[-1]


def own_assignment(model: RetinaNet, inputs: dict[str, Any]) -> list[Tensor]:
    """What the model's matcher says of its anchors, image by image."""
    was = model.training
    model.eval()
    matcher, found = model.detector.proposal_matcher, []
    for anchors, target in zip(anchors_of(model, inputs["images"]), inputs["targets"], strict=True):
        none = torch.full((len(anchors),), -1)
        found.append(matcher(box_iou(target["boxes"], anchors)) if len(target["boxes"]) else none)
    model.train(was)
    return found


def lad(student: nn.Module, teacher: nn.Module) -> Distiller:
    return Distiller(student, teacher, deliveries={"assignment": MethodDelivery(PATH)})


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_student_takes_over_the_teachers_assignment(
    student: RetinaNet, teacher: RetinaNet, inputs: dict[str, Any]
) -> None:
    theirs, own = own_assignment(teacher, inputs), own_assignment(student, inputs)
    assert not same(theirs, own)
    assert sum(int((each >= 0).sum()) for each in theirs) > sum(int((each >= 0).sum()) for each in own) > 0
    watched = Watched(student)
    distiller = lad(watched.train(), teacher)
    distiller.prepare(inputs)
    watched.assigned.clear()
    distiller(inputs)
    (assigned,) = watched.assigned
    assert same(assigned, theirs)


def test_the_loss_equals_one_made_by_hand(student: RetinaNet, teacher: RetinaNet, inputs: dict[str, Any]) -> None:
    student.eval()  # statistics that do not move make the two passes comparable
    distiller = lad(student, teacher)
    distiller.prepare(inputs)
    loss = as_task("detection")(distiller(inputs).output, {})
    loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in student.named_parameters()}
    distiller.release()

    student.zero_grad()
    net = student.detector
    standard = (inputs["images"] - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    outputs = net.head(list(net.backbone(standard).values()))
    anchors, matched = anchors_of(student, inputs["images"]), own_assignment(teacher, inputs)
    expected = sum(net.head.compute_loss(inputs["targets"], outputs, anchors, matched).values())
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)
    alone = sum(student(**inputs)["losses"].values())
    assert (alone - expected).abs() > 0.01


def test_outside_of_the_distiller_both_use_their_own(
    student: RetinaNet, teacher: RetinaNet, inputs: dict[str, Any]
) -> None:
    own = own_assignment(student, inputs)
    watched = Watched(student)
    distiller = lad(watched.eval(), teacher)
    distiller.prepare(inputs)
    watched.assigned.clear()
    watched(**inputs)
    assert same(watched.assigned[0], own)
    distiller.release()
    watched(**inputs)
    assert same(watched.assigned[1], own)


def test_validation_uses_the_students_own_matcher(
    student: RetinaNet, teacher: RetinaNet, inputs: dict[str, Any]
) -> None:
    own, theirs = own_assignment(student, inputs), own_assignment(teacher, inputs)
    watched = Watched(student)
    distiller = lad(watched, teacher)
    distiller.prepare(inputs)
    watched.assigned.clear()

    def sgd(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.0)

    before = copy.deepcopy(teacher.state_dict())
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    batch = {"inputs": inputs, "index": torch.arange(3)}
    algorithm = Offline(distiller, optimizer=sgd, task="detection")
    trainer.fit(algorithm, DataLoader([batch] * 2, batch_size=None), DataLoader([batch], batch_size=None))
    first, second, validated = watched.assigned
    assert same(first, theirs)
    assert same(second, theirs)
    assert same(validated, own)
    assert trainer.callback_metrics.keys() == {"val_loss", "val_AP50"}
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
