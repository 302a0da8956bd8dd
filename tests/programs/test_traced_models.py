"""Programs of the models that people distil: the same to the bit as the models, in both modes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import timm
import torch
from program_nets import assert_same, bits, stepped
from torch import Tensor, nn
from torchvision import models as tv

from stillroom import StillroomError, programs
from stillroom.programs import Program


def vgg11_bn() -> nn.Module:
    """With a small classifier: 90 of its 100 million weights are there."""
    model = tv.vgg11_bn()
    model.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 10))
    return model


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=10, **options)


MODELS: dict[str, tuple[Callable[[], nn.Module], int, set[str]]] = {
    "resnet18": (lambda: tv.resnet18(num_classes=10), 32, set()),
    "resnet50": (of_timm("resnet50", drop_rate=0.3, drop_path_rate=0.1), 32, {"DropPath"}),
    "mobilenet_v1": (of_timm("mobilenetv1_100", drop_rate=0.2), 32, {"BatchNormAct2d"}),
    "mobilenet_v2": (lambda: tv.mobilenet_v2(num_classes=10), 32, set()),
    "vgg11_bn": (vgg11_bn, 32, set()),
    "convnext": (lambda: tv.convnext_tiny(num_classes=10), 32, {"StochasticDepth"}),
    "vit": (
        of_timm("vit_tiny_patch16_224", img_size=32, depth=4, drop_path_rate=0.1, attn_drop_rate=0.1),
        32,
        {"DropPath", "Attention"},
    ),
    "swin": (lambda: tv.swin_t(num_classes=10), 32, {"ShiftedWindowAttention", "StochasticDepth"}),
    "efficientnet": (
        of_timm("efficientnet_b0", drop_rate=0.2, drop_path_rate=0.1),
        32,
        {"BatchNormAct2d", "DropPath"},
    ),
}


class Traced(NamedTuple):
    model: nn.Module
    program: Program
    x: Tensor
    whole: set[str]


@pytest.fixture(scope="module", params=MODELS)
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    make, size, whole = MODELS[request.param]
    torch.manual_seed(0)
    model, x = make(), torch.randn(2, 3, size, size)
    model.train()
    before, modes, state = bits(model), [module.training for module in model.modules()], torch.get_rng_state()
    program = programs.trace(model, x)
    assert_same(bits(model), before)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    yield Traced(model, program, x, whole)


def test_equals_the_model_in_both_modes(traced: Traced) -> None:
    model, program = traced.model, traced.program
    other = copy.deepcopy(model)
    for training in (True, False):  # what training did to the buffers shows in evaluation
        found = stepped(lambda x: program.output(program(x)), model, traced.x, training=training)
        assert_same(found, stepped(other, other, traced.x, training=training))


def test_what_depends_on_the_mode_stays_whole(traced: Traced) -> None:
    kinds = {info.operation for info in traced.program.tensors()}
    assert {kind for kind in kinds if kind in ALL_WHOLE} == traced.whole


ALL_WHOLE = set().union(*(whole for *_, whole in MODELS.values()))


@torch.no_grad()
def test_a_module_s_path_is_what_a_hook_sees_there(traced: Traced) -> None:
    model, program = traced.model.eval(), traced.program
    seen: dict[str, list[Any]] = {}
    handles = [
        module.register_forward_hook(
            lambda _m, _i, output, path=path: seen.setdefault(path, []).append(
                output.clone() if isinstance(output, Tensor) else output
            )
        )
        for path, module in model.named_modules()
    ]
    model(traced.x)
    for handle in handles:
        handle.remove()
    known: dict[str, Tensor] = {}
    for path, outputs in seen.items():
        try:
            program.plan.find(path)
        except StillroomError:
            continue
        known[path] = outputs[0]
    assert len(known) > len(seen) / 3 and "" in known
    assert_same(dict(program.keep(known)(traced.x)), known)


@torch.no_grad()
def test_pruning_never_changes_a_number(traced: Traced) -> None:
    traced.model.eval()
    values = traced.program(traced.x)
    names = [info.name for info in traced.program.tensors()]
    for name in [*names[:: len(names) // 4], names[-1]]:
        small = traced.program.keep([name])
        assert_same(dict(small(traced.x)), {name: values[name]})
        assert small.pruned.operations > 0 or name == names[-1]


def test_heads_that_exist_in_training_only_are_refused() -> None:
    model = tv.GoogLeNet(num_classes=10, init_weights=False)
    message = (
        r"^the forward pass of GoogLeNet does other operations in training than in evaluation, outside every module in "
        r"it; got 'inception4b\.branch1\.conv' in evaluation where it does 'aux1' in training\. "
        r"Read such a model through hooks: Distiller, or record\(\)\.$"
    )
    with pytest.raises(StillroomError, match=message):
        programs.trace(model, torch.randn(2, 3, 64, 64))
