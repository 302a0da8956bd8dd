"""YOLOv3: its size, its sites, what it learns and finds, and what it refuses."""

from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace

import pytest
import timm
import torch
import yolo_reference as reference
from safetensors.torch import save_file
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import box_iou
from yolo_scenes import awkward

from stillroom import Distiller, Term, record
from stillroom.algorithms import Detection
from stillroom.errors import StillroomError
from stillroom.losses import YOLOFineGrained, YOLOHeadL2
from stillroom.losses.yolo_heads import split
from stillroom.models import YOLOv3, load_weights
from stillroom.models.yolov3 import ANCHORS
from stillroom.recorders import list_sites

BACKBONE = "test_resnet"
RAW = [f"heads.{place}.raw" for place in range(3)]
PARTS = ("centre", "size", "objectness", "classes")


def detector(seed: int = 0, **options: object) -> YOLOv3:
    torch.manual_seed(seed)
    return YOLOv3(**{"backbone": BACKBONE, "num_classes": 3, **options})


@pytest.fixture(scope="module")
def made() -> YOLOv3:
    """One that no test changes."""
    return detector().eval()


def images(count: int = 3, height: int = 64, width: int = 64) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def batch() -> dict[str, object]:
    return {"images": images(3), "targets": awkward((64, 64))}


@pytest.mark.parametrize(
    ("backbone", "num_classes", "parameters", "billions"),
    [
        ("mobilenetv1_100", 20, 24_248_097, 21.69),
        ("mobilenetv1_100", 80, 24_571_197, 22.16),
        # PaddleDetection's ResNet34 has one more convolution of 64 x 64 with its normalisation, in its first block
        ("resnet34", 20, 41_985_953 - 64 * 64 - 2 * 64, 44.31),
        ("resnet34", 80, 42_309_053 - 64 * 64 - 2 * 64, 44.78),
    ],
)
def test_size_and_work(backbone: str, num_classes: int, parameters: int, billions: float) -> None:
    """Those that PaddleDetection's have, at its 608 x 608 pixels."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter, torch.no_grad():
        model = YOLOv3(backbone, num_classes).eval()
        found = model.predictions(torch.zeros(1, 3, 608, 608))
    assert sum(each.numel() for each in model.parameters() if each.requires_grad) == parameters
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, rel=0.01)
    assert [tuple(each.classes.shape) for each in found] == [(1, 3, num_classes, side, side) for side in (19, 38, 76)]


def test_its_sites(made: YOLOv3) -> None:
    found = {info.site: info for info in list_sites(made, images(2, 64, 96))}
    for place, (height, width) in enumerate(((2, 3), (4, 6), (8, 12))):
        assert found[f"neck.{place}"].output == str((2, 512 >> place, height, width))
        assert found[f"heads.{place}.tip"].output == str((2, 1024 >> place, height, width))
        assert found[f"heads.{place}.raw"].output == str((2, 24, height, width))
        for name in ("x", "y", "w", "h", "objectness"):
            assert found[f"heads.{place}.{name}"].output == str((2, 3, height, width))
        assert found[f"heads.{place}.classes"].output == str((2, 3, 3, height, width))
        assert found[f"heads.{place}"].output == "a Prediction of 6"
    assert {"backbone", "neck.1.up", "neck.2.up", "neck.0.route"} < found.keys()
    assert all(info.calls == 1 for site, info in found.items() if site.startswith("heads."))


def test_the_parts_are_views_of_what_the_losses_read(made: YOLOv3) -> None:
    head, seen = made.heads[1], {}
    names = ("raw", "x", "y", "w", "h", "objectness", "classes")
    hooks = [
        getattr(head, name).register_forward_hook(lambda _m, _x, out, name=name: seen.update({name: out}))
        for name in names
    ]
    with torch.no_grad():
        found = made.predictions(images())[1]
    for hook in hooks:
        hook.remove()
    said = split(seen["raw"], 3)
    expected = (*said.centre.unbind(2), *said.size.unbind(2), said.objectness, said.classes)
    for name, value in zip(names[1:], expected, strict=True):
        assert getattr(found, name) is seen[name]
        assert seen[name].data_ptr() == value.data_ptr()
        torch.testing.assert_close(seen[name], value, rtol=0, atol=0)


def test_what_is_coarse_reaches_what_is_fine(made: YOLOv3) -> None:
    """The map that goes up stands before the backbone's, and is enlarged without interpolation."""
    inner = "neck.1.route.0.0:input"
    with torch.no_grad(), record(made, up="neck.1.up", small="neck.1.up.0", features="backbone", both=inner) as seen:
        made(images())
    torch.testing.assert_close(seen["both"], torch.cat([seen["up"], seen["features"][1]], 1))
    assert seen["small"].shape[1:] == (256, 2, 2)
    torch.testing.assert_close(seen["up"], seen["small"].repeat_interleave(2, 2).repeat_interleave(2, 3))


def raw_of(model: YOLOv3, given: dict[str, object]) -> tuple[dict[str, Tensor], list[Tensor]]:
    with torch.no_grad(), record(model, **{f"raw{place}": site for place, site in enumerate(RAW)}) as seen:
        output = model(**given)
    return output, [seen[f"raw{place}"].double() for place in range(3)]


def test_losses_and_detections_are_those_of_the_definition() -> None:
    given, model = batch(), detector(label_smoothing=True, ignore_threshold=0.5).eval()
    output, raw = raw_of(model, given)
    assert output.keys() == {"losses"}
    targets = [
        reference.targets_of(
            each["boxes"].double().numpy(),
            each["labels"].tolist(),
            each.get("scores", torch.ones(len(each["labels"]))).tolist(),
            64,
            64,
        )
        for each in given["targets"]
    ]
    heads = [each.numpy() for each in raw]
    expected = reference.yolo_loss(heads, targets, list(ANCHORS), ignore=0.5, delta=1 / 40)
    assert tuple(output["losses"]) == PARTS
    for name, value in expected.parts.items():
        assert output["losses"][name].item() == pytest.approx(value, rel=1e-5)
    found, raw = raw_of(model, {"images": given["images"]})
    wanted = {"confidence": 0.01, "nms": 0.45, "top": 1000, "keep": 100}
    assert len(found) == 3
    for image, each in enumerate(found):
        scores = [score for score, _, _ in reference.detections(heads, image, list(ANCHORS), **wanted)]
        torch.testing.assert_close(each["scores"], torch.tensor(scores))


def scene() -> dict[str, object]:
    """Bright rectangles of three colours on noise, of very different sizes."""
    generator = torch.Generator().manual_seed(0)
    boxes = [[[4.0, 8, 60, 90], [64, 60, 90, 84]], [[10, 10, 24, 30], [40, 20, 92, 70]]]
    labels = [[0, 2], [1, 0]]
    found = 0.1 * torch.rand(2, 3, 96, 96, generator=generator)
    for image, own, kinds in zip(found, boxes, labels, strict=True):
        for (left, top, right, bottom), label in zip(own, kinds, strict=True):
            image[label, int(top) : int(bottom), int(left) : int(right)] = 1
    targets = [
        {"boxes": torch.tensor(own), "labels": torch.tensor(kinds)} for own, kinds in zip(boxes, labels, strict=True)
    ]
    return {"images": found, "targets": targets}


def test_it_learns_two_images_by_heart() -> None:
    model, given, task, steps = detector().train(), scene(), Detection(), 32
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5  # few steps
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = task(model(**given), {})
        loss.backward()
        optimizer.step()
        slower.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20
    for found, target in zip(model.eval()(given["images"]), given["targets"], strict=True):
        surest = found["scores"] > 0.3
        overlaps = box_iou(target["boxes"], found["boxes"][surest])
        assert overlaps.shape == (2, 2)
        assert (overlaps.amax(1) > 0.5).all()
        assert found["labels"][surest][overlaps.argmax(1)].tolist() == target["labels"].tolist()


def test_every_parameter_takes_part() -> None:
    model = detector().train()
    sum(model(**batch())["losses"].values()).backward()
    assert all(each.grad is not None for each in model.parameters())
    own = [*model.neck.parameters(), *model.heads.parameters()]  # some of timm's start behind a factor of zero
    assert all(each.grad.any() for each in own)


def test_losses_in_eval_mode_leave_the_statistics_alone(made: YOLOv3) -> None:
    before = copy.deepcopy(made.state_dict())
    with torch.no_grad():
        one, other = made(**batch()), made(**batch())
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(made.state_dict(), before, rtol=0, atol=0)


def test_images_may_come_as_a_list(made: YOLOv3) -> None:
    given = batch()
    with torch.no_grad():
        listed, stacked = made(list(given["images"]), given["targets"]), made(**given)
    torch.testing.assert_close(listed, stacked, rtol=0, atol=0)


def test_mixed_images_count_by_their_scores(made: YOLOv3) -> None:
    target = {"boxes": torch.tensor([[8.0, 8, 40, 30]]), "labels": torch.tensor([1])}
    with torch.no_grad():
        whole = made(images(1), [target])["losses"]
        part = made(images(1), [target | {"scores": torch.tensor([0.25])}])["losses"]
        none = made(images(1), [target | {"scores": torch.tensor([0.0])}])["losses"]
        empty = made(images(1), [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}])["losses"]
    for name in ("centre", "size", "classes"):
        torch.testing.assert_close(part[name], whole[name] / 4)
    torch.testing.assert_close(none, empty, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("smoothing", "classes", "expected"), [(True, 3, 1 / 40), (True, 80, 1 / 80), (0.1, 3, 0.1), (False, 3, 0.0)]
)
def test_label_smoothing(smoothing: bool | float, classes: int, expected: float) -> None:
    with torch.device("meta"):
        assert YOLOv3(BACKBONE, classes, label_smoothing=smoothing).smoothing == expected


def test_copies_and_weights(made: YOLOv3, tmp_path) -> None:
    other = detector(seed=1).eval()
    with torch.no_grad():
        expected = made(images())
        torch.testing.assert_close(copy.deepcopy(made)(images()), expected, rtol=0, atol=0)
        assert not torch.equal(other.predictions(images())[0].x, made.predictions(images())[0].x)
        save_file(made.state_dict(), tmp_path / "made.safetensors")
        load_weights(other, tmp_path / "made.safetensors")
        torch.testing.assert_close(other(images()), expected, rtol=0, atol=0)
    message = "6 of .* tensors have another shape in the file; expected heads.0.raw.weight \\(27, 1024, 1, 1\\)"
    with pytest.raises(StillroomError, match=message):
        load_weights(detector(num_classes=4), tmp_path / "made.safetensors")


def test_autocast() -> None:
    model, given = detector().train(), batch()
    full = copy.deepcopy(model)(**given)["losses"]
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        half = copy.deepcopy(model)(**given)["losses"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(**given)["losses"]
    sum(rounded.values()).backward()
    assert all(each.grad.isfinite().all() for each in model.parameters())
    for losses in (half, rounded):
        assert all(each.dtype is torch.float32 for each in losses.values())
        torch.testing.assert_close(losses, full, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(made: YOLOv3, dtype: torch.dtype) -> None:
    model, given = copy.deepcopy(made).to(dtype), batch()
    with torch.no_grad():
        losses = model(given["images"].to(dtype), given["targets"])["losses"]
        found = model(given["images"].to(dtype))
    precise = torch.float64 if dtype is torch.float64 else torch.float32
    assert all(each.dtype is precise and each.isfinite() for each in losses.values())
    assert all(each["boxes"].dtype is precise and each["boxes"].isfinite().all() for each in found)


def test_the_network_compiles_as_one_graph(made: YOLOv3) -> None:
    compiled = torch.compile(made.predictions, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images()), made.predictions(images()))


@pytest.mark.parametrize("loss", [YOLOHeadL2(3), YOLOFineGrained(3)])
def test_it_teaches_another(made: YOLOv3, loss: torch.nn.Module) -> None:
    student = detector(seed=1).eval()
    distiller = Distiller(student, copy.deepcopy(made), terms={"heads": Term(loss, student=RAW, teacher=RAW)})
    given = batch()
    out = distiller(given)
    with torch.no_grad():
        expected = loss(*(raw_of(each, given)[1] for each in (student, made)))
    torch.testing.assert_close(out.losses["heads"].double(), expected, rtol=1e-4, atol=1e-5)
    assert Detection()(out.output, {}) > 0
    out.loss.backward()
    assert student.heads[0].raw.weight.grad.any()


def test_weights_of_the_backbone_come_from_timm(tmp_path) -> None:
    """A folder as timm saves one, of a classifier."""
    torch.manual_seed(3)
    whole = timm.create_model(BACKBONE)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": BACKBONE, "num_classes": whole.num_classes}))
    model = detector(backbone=f"local-dir:{tmp_path}", pretrained=True)
    own, theirs = model.backbone.state_dict(), whole.state_dict()
    assert len(own) > 20
    for name, value in own.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)
    missing = tmp_path / "nothing"
    with pytest.raises(
        StillroomError, match=f"^backbone: the weights of timm's local-dir:{missing} cannot be had; got"
    ):
        detector(backbone=f"local-dir:{missing}", pretrained=True)


@pytest.mark.parametrize("prior", [0.5, 0.01])
def test_what_is_expected_of_an_anchor_beforehand(prior: float) -> None:
    for head in detector(objectness_prior=prior).heads:
        biases = head.raw.bias.detach().view(3, -1)
        torch.testing.assert_close(biases[:, 4].sigmoid(), torch.full((3,), prior))
        assert not biases[:, [0, 1, 2, 3, 5]].any()


def test_other_anchors() -> None:
    model = detector(anchors=[[8, 8], [16, 16], [32, 32], [48, 48], [64, 64], [64, 32]]).eval()
    with torch.no_grad():
        said = model.predictions(images())
        assert model(**batch())["losses"]["size"].isfinite()
    assert [each.x.shape[1] for each in said] == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "bad num_classes; expected 1 or more, got 0."),
        ({"keep": 0}, "bad keep; expected 1 or more, got 0."),
        ({"nms_top": 0}, "bad nms_top; expected 1 or more, got 0."),
        (
            {"ignore_threshold": 1.5},
            "an argument is out of range; expected 0 <= ignore_threshold <= 1, got 1.5.",
        ),
        ({"label_smoothing": 0.6}, "an argument is out of range; expected 0 <= label_smoothing <= 0.5, got 0.6."),
        ({"conf_threshold": -0.1}, "an argument is out of range; expected 0 <= conf_threshold <= 1, got -0.1."),
        ({"nms_iou": float("nan")}, "an argument is out of range; expected 0 <= nms_iou <= 1, got nan."),
        (
            {"objectness_prior": 0},
            "an argument is out of range; expected 0 < objectness_prior < 1, got 0.",
        ),
        (
            {"anchors": ANCHORS[:8]},
            "the anchors cannot be shared out among the heads; expected a multiple of 3 of them, got 8.",
        ),
        ({"anchors": []}, "the anchors cannot be shared out among the heads; expected a multiple of 3 of them, got 0."),
        (
            {"anchors": [(8, 8), (16, 0), (3, 3)]},
            "this is no anchor; expected a width and a height above 0, got (16.0, 0.0).",
        ),
        (
            {"anchors": [(8, 8), (16, 3, 3), (3, 3)]},
            "this is no anchor; expected a width and a height above 0, got (16.0, 3.0, 3.0).",
        ),
        ({"backbone": "resnet81"}, "backbone: timm has no model 'resnet81'. Did you mean 'resnet18' or"),
        (
            {"backbone": "vit_tiny_patch16_224"},
            "backbone: timm's vit_tiny_patch16_224 has other strides; expected (8, 16, 32), got (16, 16, 16).",
        ),
    ],
)
def test_what_cannot_be_built(options: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        detector(**options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            torch.zeros(1, 3, 64, 80),
            "the size of the images does not fit; expected height and width that are multiples of 32, got (64, 80). "
            "Resize or pad them in the data.",
        ),
        (torch.zeros(3, 64, 64), "these are no images; expected (N, 3, H, W), got (3, 64, 64)."),
        (torch.zeros(1, 1, 64, 64), "these are no images; expected (N, 3, H, W), got (1, 1, 64, 64)."),
        (
            [torch.zeros(3, 64, 64), torch.zeros(3, 64, 32)],
            "the images of a batch differ; expected one size, got [(3, 64, 32), (3, 64, 64)]. Resize them in the data.",
        ),
        ([], "the images of a batch differ; expected one size, got []. Resize them in the data."),
    ],
)
def test_images_that_do_not_fit(made: YOLOv3, given: object, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        made(given)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "targets: each image needs a target; expected 1, got 0."),
        (
            [{"boxes": torch.zeros(1, 4)}],
            "targets[0]: the target is not whole; expected boxes and labels, got ['boxes'].",
        ),
        (
            [{"boxes": torch.zeros(2, 4), "labels": torch.zeros(1).long()}],
            "targets[0]: the target does not fit; expected boxes (K, 4), labels (K,), scores (K,), "
            "got boxes (2, 4), labels (1,).",
        ),
        (
            [{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1).long(), "scores": torch.zeros(1, 1)}],
            "targets[0]: the target does not fit; expected boxes (K, 4), labels (K,), scores (K,), "
            "got boxes (1, 4), labels (1,), scores (1, 1).",
        ),
        (
            [{"boxes": torch.zeros(2, 4), "labels": torch.tensor([0, 3])}],
            "targets: the model has other classes than the data; expected labels from 0 to 2, none for the background, "
            "got 3.",
        ),
        (
            [{"boxes": torch.zeros(2, 4), "labels": torch.tensor([-1, 2])}],
            "targets: the model has other classes than the data; expected labels from 0 to 2, none for the background, "
            "got -1.",
        ),
    ],
)
def test_targets_that_do_not_fit(made: YOLOv3, targets: list[dict[str, Tensor]], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        made(images(1), targets)


def test_what_cannot_be_run() -> None:
    with pytest.raises(StillroomError, match=r"^a detector in train mode needs targets\. Call eval\(\) to detect\.$"):
        detector().train()(images())
    names = SimpleNamespace(sources=SimpleNamespace(class_names=["a", "b"]))
    message = "the model's classes are not the data's; expected num_classes=2 for SimpleNamespace, got 3."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        Detection().expect_classes(detector(), None, names, fix="")


def test_a_narrow_one() -> None:
    net = YOLOv3("resnet18", 3, width=64)
    assert [head.raw.in_channels for head in net.heads] == [128, 64, 32]
    assert [tuple(each.objectness.shape) for each in net.predictions(torch.zeros(1, 3, 64, 64))] == [
        (1, 3, side, side) for side in (2, 4, 8)
    ]
    for width in (0, 30):
        with pytest.raises(StillroomError, match=rf"^bad width; expected a multiple of 4, 4 or more, got {width}\.$"):
            YOLOv3("resnet18", 3, width=width)
