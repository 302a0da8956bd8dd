"""Suggesting pairs: what is recognised, what is left as it was, what is refused."""

from __future__ import annotations

import re
from collections import OrderedDict

import pytest
import torch
import yaml
from diagnosis_nets import Block, ChannelsLast, Flat, Hourglass, Pyramid, Transformer, Vectors, images
from torch import Tensor, nn

from stillroom.diagnosis import suggest
from stillroom.distillers import Distiller, Teacher
from stillroom.errors import StillroomError
from stillroom.models import resnet8, vgg8, vgg13
from stillroom.runs.terms import term_specs


def pairs(student: nn.Module, teacher: nn.Module, batch: object) -> list[tuple[str, str, str]]:
    return [(pair.name, pair.student.site, pair.teacher.site) for pair in suggest(student, teacher, batch).pairs]


def losses(student: nn.Module, teacher: nn.Module, batch: object) -> dict[str, Tensor]:
    """Those of the suggested terms; of the same terms read from the YAML too."""
    found = suggest(student, teacher, batch)
    read = {name: spec.make() for name, spec in term_specs(yaml.safe_load(found.yaml())["terms"]).items()}
    distillers = [Distiller(student, teacher, terms=terms) for terms in (found.terms(), read)]
    both: list[dict[str, Tensor]] = []
    for distiller in distillers:
        distiller.prepare(batch)
        distiller.load_state_dict(distillers[0].state_dict())
        torch.manual_seed(0)
        both.append(distiller(batch).losses)
    torch.testing.assert_close(both[0], both[1])
    assert all(torch.isfinite(loss) for loss in both[0].values())
    return both[0]


def chain() -> nn.Module:
    """Blocks at strides 1 to 32."""
    blocks = [Block(3, 3, stride=stride) for stride in (1, 2, 2, 2, 2, 2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


def test_stages_of_equal_stride_the_stem_is_none() -> None:
    found = pairs(Pyramid(2), Pyramid(4), images())
    assert found == [("stride2", "one", "one"), ("stride4", "two", "two"), ("stride8", "three", "three")]
    assert losses(Pyramid(2), Pyramid(4), images()).keys() == {"kl", "stride2", "stride4", "stride8"}


def test_a_row_of_layers_is_divided_by_its_strides_without_what_is_idle() -> None:
    found = pairs(Flat(), Pyramid(), images())
    assert found == [("stride2", "body.5", "one"), ("stride4", "body.9", "two"), ("stride8", "body.13", "three")]


def test_a_decoder_and_a_pooled_head_are_no_stages() -> None:
    found = pairs(Hourglass(), Pyramid(), images(size=32))
    assert found == [
        ("stride2", "pyramid.one", "one"),
        ("stride4", "pyramid.two", "two"),
        ("stride8", "pyramid.three", "three"),
    ]


def test_a_block_that_runs_twice_is_no_stage() -> None:
    class Twice(Pyramid):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.three(self.three(self.two(self.one(self.stem(x)))).repeat(1, 1, 2, 2)).mean((2, 3)))

    model = Twice()
    model.three = Block(8, 8, stride=2)
    model.fc = nn.Linear(8, 5)
    assert pairs(model, Pyramid(), images()) == [("stride2", "one", "one"), ("stride4", "two", "two")]


def test_the_networks_of_the_literature() -> None:
    batch = torch.randn(2, 3, 32, 32)
    assert pairs(vgg8(), vgg13(), batch) == [
        ("stride2", "block2", "block2"),
        ("stride4", "block3", "block3"),
        ("stride8", "block5", "block5"),
    ]
    assert [name for name, *_ in pairs(resnet8(), resnet8(), batch)] == ["stride1", "stride2", "stride4"]


def test_at_most_four_those_with_the_smallest_maps() -> None:
    four = pairs(chain(), chain(), images(size=64))
    assert four == [(f"stride{2**step}", str(step), str(step)) for step in (2, 3, 4, 5)]
    by_depth = pairs(chain(), Transformer(classes=3), images(size=64))
    assert [site for _, site, _ in by_depth] == ["2", "3", "4", "5"]


def test_what_halves_the_map_twice_is_opened_and_a_single_layer_at_the_end_is_the_head() -> None:
    body = nn.Sequential(Block(3, 4, stride=2), Block(4, 4, stride=2))
    head = nn.Sequential(nn.Conv2d(4, 9, 1), nn.ReLU())
    model = nn.Sequential(body, head, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert pairs(model, Pyramid(), images()) == [("stride2", "0.0", "one"), ("stride4", "0.1", "two")]


@pytest.mark.parametrize(("depth", "sites"), [(8, [1, 3, 5, 7]), (6, [1, 2, 4, 5]), (4, [0, 1, 2, 3])])
def test_blocks_of_one_resolution_go_by_depth(depth: int, sites: list[int]) -> None:
    student, teacher = Transformer(depth=depth), Transformer(8, depth=12)
    assert pairs(student, teacher, images()) == [
        (f"depth{n}", f"layers.{mine}[0]", f"layers.{theirs}[0]")
        for n, mine, theirs in zip((1, 2, 3, 4), sites, (2, 5, 8, 11), strict=True)
    ]
    assert losses(student, teacher, images()).keys() == {"kl", "depth1", "depth2", "depth3", "depth4"}


def test_maps_and_tokens_go_by_depth_in_both_directions() -> None:
    expected = [("depth1", "one", "layers.2[0]"), ("depth2", "two", "layers.5[0]"), ("depth3", "three", "layers.7[0]")]
    assert pairs(Pyramid(), Transformer(), images()) == expected
    assert pairs(Transformer(), Pyramid(), images()) == [(name, *other[::-1]) for name, *other in expected]
    assert losses(Pyramid(), Transformer(), images()).keys() == {"kl", "depth1", "depth2", "depth3"}
    assert losses(Transformer(), Pyramid(), images()).keys() == {"kl", "depth1", "depth2", "depth3"}


@pytest.mark.parametrize(
    ("student", "teacher", "connector"),
    [
        (Transformer(prefix=2), Transformer(prefix=2), "none"),
        (Transformer(prefix=2), Transformer(8, prefix=2), "auto: Linear(6, 8)"),
        (
            Transformer(prefix=1),
            Transformer(8, prefix=2),
            "TokensToMap(prefix=1) + Conv1x1(6, 8); teacher: TokensToMap(prefix=2)",
        ),
        (
            Transformer(patch=8),
            Transformer(),
            "TokensToMap(prefix=1) + Conv1x1(6, 6) + Resize(scale=2); teacher: TokensToMap(prefix=1)",
        ),
        (ChannelsLast(), ChannelsLast(), "none"),
        (ChannelsLast(), ChannelsLast(4), "Linear(3, 4)"),
        (
            ChannelsLast(),
            Pyramid(),
            "Flatten(start_dim=1, end_dim=2) + TokensToMap(prefix=0) + Conv1x1(3, 4)",
        ),
        (Pyramid(), ChannelsLast(), "Conv1x1(4, 3); teacher: Flatten(start_dim=1, end_dim=2) + TokensToMap(prefix=0)"),
        (Pyramid(3), ChannelsLast(3), "none; teacher: Flatten(start_dim=1, end_dim=2) + TokensToMap(prefix=0)"),
    ],
)
def test_what_auto_cannot_read_is_made_into_a_map(student: nn.Module, teacher: nn.Module, connector: str) -> None:
    assert suggest(student, teacher, images()).pairs[0].adapter.text == connector
    losses(student, teacher, images())


@pytest.mark.parametrize(
    ("student", "teacher", "flag"),
    [
        (nn.ReLU, nn.ReLU, None),
        (None, None, None),
        (nn.SiLU, nn.GELU, None),
        (nn.ReLU6, nn.Sigmoid, None),
        (nn.ReLU, Square, None),
        (
            None,
            nn.ReLU,
            "signs differ: the student's values are signed (BatchNorm2d), the teacher's non-negative (ReLU)",
        ),
        (nn.ReLU, nn.GELU, "signs differ: the student's values are non-negative (ReLU), the teacher's signed (GELU)"),
        (
            nn.SiLU,
            None,
            "the student's values are after an activation (SiLU), the teacher's before an activation (Batch",
        ),
    ],
)
def test_what_looks_alike_and_is_not(student: type | None, teacher: type | None, flag: str | None) -> None:
    found = suggest(Pyramid(activation=student), Pyramid(activation=teacher), images(8))
    for pair in found.pairs:
        assert pair.flags == () if flag is None else pair.flags[0].startswith(flag)
        assert flag is None or f"\n    # {pair.flags[0]}\n" in found.yaml()


def test_the_models_are_left_as_they_were() -> None:
    student, teacher = Pyramid(), Transformer()
    student.two.eval()
    teacher.requires_grad_(False)
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in (student, teacher)]
    flags = [(module, module.training) for model in (student, teacher) for module in model.modules()]
    random = torch.get_rng_state()
    for cka in (False, True):
        suggest(student, teacher, images(4), cka=cka)
    torch.testing.assert_close([student.state_dict(), teacher.state_dict()], before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training == training for module, training in flags)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module, _ in flags)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_a_teacher_with_a_transform_and_classes() -> None:
    teacher = Teacher(Pyramid(classes=9), transform=nn.Upsample(scale_factor=2.0), classes=[3, 1, 4, 0, 5])
    found = suggest(Pyramid(2), teacher, images())
    assert [(pair.name, pair.student.shape[2], pair.teacher.shape[2]) for pair in found.pairs] == [
        ("stride2", 8, 16),
        ("stride4", 4, 8),
        ("stride8", 2, 4),
    ]
    assert found.logits is not None
    assert found.pairs[0].adapter.text == "auto: Conv1x1(2, 4) + Resize(scale=2)"


def test_a_compiled_model_is_looked_into() -> None:
    assert pairs(torch.compile(Pyramid()), Pyramid(), images()) == pairs(Pyramid(), Pyramid(), images())


def test_a_batch_may_be_a_mapping() -> None:
    batch = {"pixels": images()}
    found = suggest(Transformer(), Transformer(8), batch)
    assert found.logits.student.site == "[logits]"
    assert 'student: "[logits]"' in found.yaml()
    assert losses(Transformer(), Transformer(8), batch)["kl"] > 0


def test_one_of_several_teachers() -> None:
    student, teachers = Pyramid(2), {"big": Pyramid(4), "other": Pyramid(3)}
    found = suggest(student, teachers["big"], images())
    distiller = Distiller(student, teachers, terms=found.terms(teacher="big"))
    distiller.prepare(images())
    assert {key for name in found.terms() for key in distiller.teacher_sites(name)} == {
        "big/",
        "big/one",
        "big/two",
        "big/three",
    }
    read = term_specs(yaml.safe_load(found.yaml(teacher="big"))["terms"])
    assert [read[name].parts["teacher"] for name in ("kl", "stride2")] == ["big/", "big/one"]


def test_sites_that_yaml_would_take_for_something_else_are_quoted() -> None:
    def model() -> nn.Module:
        parts = [Block(3 if index == 0 else 4, 4, stride=2) for index in range(3)]
        named = {"0": parts[0], "on": parts[1], "1e3": parts[2], "end": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
        return nn.Sequential(OrderedDict(named))

    found = suggest(model(), model(), images())
    assert [term["student"] for term in list(yaml.safe_load(found.yaml())["terms"].values())[1:]] == ["0", "on", "1e3"]


def test_cka_is_told_and_chooses_nothing() -> None:
    student, teacher = Pyramid(), Pyramid()
    with_cka, without = (suggest(student, teacher, images(8), cka=cka) for cka in (True, False))
    assert [pair.name for pair in with_cka.pairs] == [pair.name for pair in without.pairs]
    assert [pair.cka for pair in without.pairs] == [None] * 3
    assert all(-1 < pair.cka < 1 for pair in with_cka.pairs)
    twin = Pyramid()
    twin.load_state_dict(student.state_dict())
    assert [pair.cka for pair in suggest(student, twin, images(8), cka=True).pairs] == pytest.approx([1.0] * 3)


def test_no_logits_pair() -> None:
    found = suggest(Pyramid(classes=5), Pyramid(classes=7), images())
    assert found.logits is None
    assert found.notes == ("No term on the logits: the numbers of classes differ, 5 of the student, 7 of the teacher.",)
    assert "kl" not in found.terms()
    assert str(found).endswith(f"# {found.notes[0]}\n")

    class Headless(Pyramid):
        def forward(self, x: Tensor) -> Tensor:
            return self.three(self.two(self.one(self.stem(x))))

    (note,) = suggest(Headless(), Pyramid(), images()).notes
    assert note == (
        "No term on the logits: the outputs are a Tensor of shape (2, 16, 2, 2) of the student, a Tensor of shape "
        "(2, 5) of the teacher, not both logits (N, C)."
    )


def test_nothing_but_the_logits() -> None:
    found = suggest(Vectors(), Pyramid(), images())
    assert found.pairs == ()
    assert found.notes == (
        "Vectors and Pyramid have no stage in common; expected maps of equal stride, got strides none that is "
        "recognised of the student, 2, 4, 8 of the teacher. Name sites yourself, with a connector between them.",
    )
    assert found.terms().keys() == {"kl"}
    assert losses(Vectors(), Pyramid(), images()).keys() == {"kl"}


class Coarse(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 16, 16)
        self.body = Block(4, 4)
        self.fc = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("student", "teacher", "batch", "message"),
    [
        (
            Pyramid(),
            Transformer(),
            torch.randn(2, 1, 16, 16),
            "student: Pyramid does not take this batch; expected what the model is called with: images (N, C, H, W), "
            "or a mapping of its keywords, got a Tensor of shape (2, 1, 16, 16) (RuntimeError: ",
        ),
        (
            Pyramid(),
            Transformer(patch=32),
            images(),
            "teacher: Transformer does not take this batch; expected what the model is called with: ",
        ),
        (
            Pyramid(),
            Pyramid(),
            torch.randn(2, 3, 16, 24),
            "student: the stages of a model are found by their sizes on square images; expected images (N, C, S, S), "
            "got images of shape (2, 3, 16, 24). Give a square crop: sites do not depend on the size, and "
            "connectors are inferred again by prepare().",
        ),
        (
            nn.Linear(4, 2),
            Pyramid(),
            torch.randn(2, 4),
            "student: the stages of a model are found by their sizes on square images; expected images (N, C, S, S), "
            "got a Tensor of shape (2, 4).",
        ),
        (
            Vectors(5),
            Pyramid(classes=6),
            images(),
            "student: no stage of Vectors is recognised; expected modules that run once and return maps (N, C, H, W) "
            "or (N, H, W, C), or a square of tokens (N, L, D). Name sites yourself; `stillroom inspect` and "
            "stillroom.recorders.list_sites list them.",
        ),
        (Pyramid(classes=6), Vectors(5), images(), "teacher: no stage of Vectors is recognised; "),
        (
            Pyramid(classes=6),
            Coarse(5),
            images(size=32),
            "Pyramid and Coarse have no stage in common; expected maps of equal stride, got strides 2, 4, 8 of the "
            "student, 16 of the teacher. Name sites yourself, with a connector between them.",
        ),
    ],
)
def test_refusals(student: nn.Module, teacher: nn.Module, batch: Tensor, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        suggest(student, teacher, batch)


def test_cka_of_a_small_batch_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^CKA compares .* of at least 4 samples on both sides, got shapes \(3, 4, 8"
    ):
        suggest(Pyramid(), Pyramid(), images(3), cka=True)


def test_feature_info_that_does_not_hold_is_not_believed() -> None:
    model = Pyramid()
    for info in ([{"module": "two"}, {"module": "gone"}], [{"module": "fc"}], ["two"], 7):
        model.feature_info = info
        assert [name for name, *_ in pairs(model, Pyramid(), images())] == ["stride2", "stride4", "stride8"]
    model.feature_info = [{"module": "two.conv2"}, {"module": "three"}]
    assert pairs(model, Pyramid(), images()) == [("stride4", "two.conv2", "two"), ("stride8", "three", "three")]
