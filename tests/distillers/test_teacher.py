"""A teacher is frozen for good, whatever anybody calls."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from distil_nets import Mlp, Net, Worded, bits, hint, images, prepared, vectors
from torch import Tensor, nn

from stillroom import Distiller, StillroomError, Teacher, Term
from stillroom.losses import L2, KLDivergence


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def train(distiller: Distiller, steps: int = 3) -> None:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        optimizer.zero_grad()
        distiller(images(step + 4)).loss.backward()
        optimizer.step()


# Frozen


def test_a_teacher_is_the_same_to_the_bit_after_training() -> None:
    teacher = Net(6)
    teacher(images())  # its statistics are not those of a fresh network
    before = bits(teacher)
    distiller = prepared(Net(4), teacher)
    distiller.train()
    distiller.requires_grad_(True)
    distiller.teachers.train()
    train(distiller)
    torch.testing.assert_close(bits(teacher), before, rtol=0, atol=0)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert distiller.student.training


def test_its_values_have_no_graph() -> None:
    distiller = prepared()
    taught = distiller.teach(images().requires_grad_())
    assert taught.keys() == {"teacher/", "teacher/norm"}
    assert not any(value.requires_grad for value in taught.values())


def test_it_cannot_be_woken_up_unnoticed() -> None:
    teacher = Net(6)
    distiller = prepared(Net(4), teacher)
    before = bits(teacher)
    message = (
        "teacher: the teacher was put into train mode ({}.training is True). "
        "Its BatchNorm statistics would move and its dropout would be on. Do not call train() on it, or on a module "
        "that contains it; call eval() to go on."
    )
    teacher.train()
    with pytest.raises(StillroomError, match=quoted(message.format("Net"))):
        distiller(images())
    teacher.eval()
    distiller(images())
    teacher.norm.train()
    with pytest.raises(StillroomError, match=quoted(message.format("BatchNorm2d"))):
        distiller(images())
    torch.testing.assert_close(bits(teacher), before, rtol=0, atol=0)


def test_functions_applied_to_the_distiller_do_not_reach_it() -> None:
    distiller = prepared()
    teacher = distiller.teachers["teacher"].network
    before = bits(teacher)
    distiller.apply(lambda module: nn.init.zeros_(module.weight) if isinstance(module, nn.Conv2d) else None)
    assert not distiller.student.conv.weight.any()
    torch.testing.assert_close(bits(teacher), before, rtol=0, atol=0)


# Moved


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_moves_with_the_distiller(dtype: torch.dtype) -> None:
    distiller = nn.Sequential(prepared()).to(dtype)[0]
    teacher = distiller.teachers["teacher"].network
    assert {parameter.dtype for parameter in [*teacher.parameters(), *distiller.parameters()]} == {dtype}
    assert teacher.norm.running_mean.dtype is dtype
    assert distiller(images().to(dtype)).output.dtype is dtype


def test_half_moves_it_as_well() -> None:
    distiller = prepared().half()
    assert distiller.teachers["teacher"].network.conv.weight.dtype is torch.float16


def test_its_transform_moves_with_it() -> None:
    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            return x - self.mean

    teacher = Teacher(Mlp(), transform=Normalized())
    distiller = Distiller(Mlp(), teacher).double()
    assert distiller(vectors().double()).loss.dtype is torch.float64
    assert teacher.transform.mean.dtype is torch.float64
    assert list(teacher.state_dict()) == []


# Several


def test_several_teachers_by_name() -> None:
    student, big, small = Mlp(4), Mlp(7), Mlp(5)
    terms = {
        "a": Term(KLDivergence(), teacher="big/"),
        "b": Term(L2(), student="body", teacher="small/body", connector="auto"),
        "c": Term(L2(), student="head", teacher="big/head", extra={}),
    }
    distiller = Distiller(student, {"big": big, "small": small}, terms=terms)
    distiller.prepare(vectors())
    out = distiller(vectors())
    torch.testing.assert_close(out.losses["a"], KLDivergence()(student(vectors()), big(vectors())))
    adapted = distiller.connectors["b"](student.body(vectors()))
    torch.testing.assert_close(out.losses["b"], L2()(adapted, small.body(vectors())))
    assert distiller.teach(vectors()).keys() == {"big/", "small/body", "big/head"}


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (None, 'terms.kl.teacher: which teacher? There are big, small; expected "big/".'),
        ("head", 'terms.kl.teacher: which teacher? There are big, small; expected "big/head".'),
        ("bigg/head", "terms.kl.teacher: there is no model 'bigg'; got 'bigg/head'. Did you mean 'big'?"),
    ],
)
def test_which_of_several_must_be_said(site: str | None, message: str) -> None:
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Mlp(), {"big": Mlp(), "small": Mlp()}, terms={"kl": Term(KLDivergence(), teacher=site)})


# Options


def test_a_transform_changes_what_it_sees() -> None:
    student, teacher = Mlp(4), Mlp(7)
    distiller = Distiller(student, Teacher(teacher, transform=lambda x: 2 * x + 1))
    expected = KLDivergence(tau=4.0)(student(vectors()), teacher(2 * vectors() + 1))
    torch.testing.assert_close(distiller(vectors()).loss, expected)


def test_a_transform_may_return_several_inputs_or_a_mapping() -> None:
    teacher, x = Worded(7), vectors()
    wanted = teacher(x, torch.zeros(4, 1))["logits"]
    for transform in (
        lambda x: (x, torch.zeros(4, 1)),
        lambda x: {"mask": torch.zeros(4, 1), "x": x},
    ):
        holder = Teacher(teacher, transform=transform)
        distiller = Distiller(Mlp(4), holder, terms={"kl": Term(KLDivergence(), teacher="[logits]")})
        torch.testing.assert_close(distiller.teach(x)["teacher/[logits]"], wanted)


def test_a_transform_gets_a_mapping_whole() -> None:
    batch = {"x": vectors(), "mask": torch.ones(4, 1)}
    holder = Teacher(teacher := Mlp(7), transform=lambda batch: batch["x"] * 2)
    distiller = Distiller(Worded(4), holder, terms={"kl": Term(KLDivergence(), student="[logits]")})
    torch.testing.assert_close(distiller.teach(batch)["teacher/"], teacher(2 * vectors()))


def test_classes_choose_the_students_among_the_teachers() -> None:
    class Ten(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 10)

    teacher, order = Ten(), [9, 0, 3, 3, 5]
    distiller = Distiller(Mlp(4), Teacher(teacher, classes=order))
    torch.testing.assert_close(distiller.teach(vectors())["teacher/"], teacher(vectors())[:, order])
    assert distiller(vectors()).loss > 0


@pytest.mark.parametrize("classes", [[], [0, -1]])
def test_classes_that_are_none(classes: list[int]) -> None:
    message = f"classes: classes are indices of the teacher's logits; got {classes}."
    with pytest.raises(StillroomError, match=quoted(message)):
        Teacher(Mlp(), classes=classes)


def test_classes_that_the_teacher_does_not_have() -> None:
    distiller = Distiller(Mlp(), Teacher(Mlp(), classes=[0, 5]))
    message = (
        "teacher.classes: the teacher's classes cannot be mapped; expected logits (N, C) with C > 5, "
        "got a Tensor of shape (4, 5)."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


def test_classes_of_logits_among_others() -> None:
    teacher, order, batch = Worded(7), [4, 0, 1, 1, 2], {"x": vectors(), "mask": torch.ones(4, 1)}
    terms = {"kl": Term(KLDivergence(), student="[logits]", teacher="[logits]")}
    distiller = Distiller(Worded(4), Teacher(teacher, classes=order, items=("logits",)), terms=terms)
    torch.testing.assert_close(distiller.teach(batch)["teacher/[logits]"], teacher(**batch)["logits"][:, order])
    message = (
        "big.classes: the teacher's classes cannot be mapped; expected logits (N, C) with C > 4, "
        'got a dict with hidden, logits. Say where they are: items=("logits",).'
    )
    terms = {"kl": Term(KLDivergence(), student="[logits]", teacher="big/[logits]")}
    distiller = Distiller(Worded(4), {"big": Teacher(teacher, classes=order)}, terms=terms)
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(batch)


def test_values_of_a_teacher_that_says_inference_mode_can_be_learned_from() -> None:
    class Fast(Mlp):
        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    terms = {"kl": Term(KLDivergence()), "hint": Term(L2(), student="body", teacher="body")}
    distiller, plain = Distiller(Mlp(), Fast(), terms=terms), Mlp()
    plain.load_state_dict(distiller.teachers["teacher"].network.state_dict())
    for _ in range(2):
        out = distiller(vectors())
        out.loss.backward()
        wanted = KLDivergence()(distiller.student(vectors()), plain(vectors()))
        torch.testing.assert_close(out.losses["kl"], wanted)


def test_the_hooks_of_a_teacher_do_not_disturb_the_one_who_owns_it() -> None:
    teacher = Net(6)
    wanted = teacher.eval()(images())
    distiller = Distiller(Net(4), copy.deepcopy(teacher), terms={"hint": hint()})
    distiller.prepare(images())
    assert torch.equal(distiller.teachers["teacher"].network(images()), wanted)
    assert all(parameter.requires_grad for parameter in teacher.parameters())
