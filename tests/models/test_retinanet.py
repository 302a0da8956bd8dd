"""RetinaNet: torchvision's own losses and detections, in train and in eval mode."""

import copy
import re

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.models import RetinaNet

BACKBONE = "test_resnet"


def detector(seed=0, **options):
    torch.manual_seed(seed)
    return RetinaNet(**{"num_classes": 2, "backbone": BACKBONE, "channels": 16, "anchor_scale": 2.0, **options})


def batch(count=3, size=64):
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[[4.0, 6, 30, 40], [20, 20, 60, 55]], [[0, 0, 16, 16], [5, 5, 9, 9]], [[1, 2, 3, 60]] * 2])
    targets = [{"boxes": each, "labels": torch.tensor([0, 1])} for each in boxes[:count]]
    return {"images": images, "targets": targets}


def test_losses_equal_torchvisions_own():
    """The same weights in torchvision's forward, which gives losses in train mode alone."""
    model, given = detector().train(), batch()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0  # both passes see the same statistics
    found = model(**given)
    assert found.keys() == {"losses"}
    theirs = copy.deepcopy(model.detector)
    theirs.train()
    expected = theirs(given["images"], given["targets"])
    torch.testing.assert_close(found["losses"], expected)
    assert found["losses"].keys() == {"classification", "bbox_regression"}
    sum(found["losses"].values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_it_has_losses_in_eval_mode_and_leaves_its_statistics_alone():
    model, given = detector().eval(), batch()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        one, other = model(**given), model(**given)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_it_learns_one_image_by_heart():
    model, given = detector().train(), batch(1)
    given["targets"][0] = {"boxes": torch.tensor([[10.0, 12, 44, 50]]), "labels": torch.tensor([1])}
    given["images"] = given["images"].repeat(2, 1, 1, 1)
    given["targets"] = given["targets"] * 2
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(40):
        optimizer.zero_grad()
        sum(model(**given)["losses"].values()).backward()
        optimizer.step()
    best = model.eval()(given["images"])[0]
    assert best["scores"][0] > 0.5
    assert best["labels"][0] == 1
    torch.testing.assert_close(best["boxes"][0], given["targets"][0]["boxes"][0], atol=4.0, rtol=0)
    assert (best["scores"].diff() <= 0).all()


def test_images_without_boxes():
    given = batch(2)
    given["targets"][1] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = detector()(**given)["losses"]
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("size", [(64, 64), (72, 56)])
def test_the_anchors_do_not_depend_on_the_backbone(size):
    images = torch.rand(1, 3, *size)
    counts = set()
    for backbone in (BACKBONE, "mobilenetv3_small_050"):
        model = detector(backbone=backbone).eval()
        anchors = []
        model.detector.anchor_generator.register_forward_hook(lambda _m, _a, out, seen=anchors: seen.append(out[0]))
        model(images)
        counts.add(len(anchors[0]))
        sides = (anchors[0][:9, 2] - anchors[0][:9, 0]) * (anchors[0][:9, 3] - anchors[0][:9, 1])
        assert sides.sqrt().min().round() == 16  # 2 times the stride of 8
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "an argument is out of range; expected num_classes above 0, got 0."),
        ({"channels": 24}, "an argument is out of range; expected channels, a multiple of 16, above 0, got 24."),
        ({"anchor_scale": 0.0}, "an argument is out of range; expected anchor_scale above 0, got 0.0."),
        (
            {"fg_iou_thresh": 0.3},
            "the thresholds do not fit; expected 0 < bg_iou_thresh <= fg_iou_thresh <= 1, got 0.4, 0.3.",
        ),
        ({"backbone": "resnet81"}, "backbone: timm has no model 'resnet81'. Did you mean 'resnet18' or"),
        (
            {"backbone": "vit_tiny_patch16_224"},
            "backbone: timm's vit_tiny_patch16_224 has other strides; expected (8, 16, 32), got (16, 16, 16).",
        ),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        detector(**options)


def test_what_cannot_be_run():
    given = batch(2)
    with pytest.raises(StillroomError, match=r"^a detector in train mode needs targets\. Call eval\(\) to detect\.$"):
        detector()(given["images"])
    given["targets"][1]["labels"] = torch.tensor([0, 2])
    message = "the model has fewer classes than the data; expected labels below 2, got 2."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        detector()(**given)
