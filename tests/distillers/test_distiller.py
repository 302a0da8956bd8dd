"""One forward pass gives the output and the losses, as a hand-written loop would."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from distil_nets import Counted, Mlp, Net, Object, Worded, bits, hint, images, labels, prepared, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Between, Constant, Distilled, Distiller, ModuleOutputs, StillroomError, Term, WarmUp
from stillroom.losses import L2, KLDivergence

LR, MOMENTUM, TAU = 0.1, 0.9, 4.0


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


# The same as a hand-written loop


def run_by_hand(student: Net, teacher: Net, adapter: nn.Conv2d, batches: list[Tensor]) -> None:
    """KL + 10 · L2 + cross-entropy, written out; the hint is taken before the activation."""
    parameters = [*student.parameters(), *adapter.parameters()]
    speeds = [torch.zeros_like(parameter) for parameter in parameters]
    teacher.eval()
    for x in batches:
        with torch.no_grad():
            wanted = teacher.norm(teacher.conv(x))
            target = teacher.head(wanted.relu().mean((2, 3)))
        feature = student.norm(student.conv(x))
        logits = student.head(feature.relu().mean((2, 3)))
        p, q = softmax(target / TAU), softmax(logits / TAU)
        kl = TAU**2 * (p * (p / q).log()).sum() / len(x)
        loss = 0.1 * F.cross_entropy(logits, labels(len(x))) + 0.9 * kl + 10 * ((adapter(feature) - wanted) ** 2).mean()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, speed, gradient in zip(parameters, speeds, gradients, strict=True):
                if gradient is not None:
                    speed.mul_(MOMENTUM).add_(gradient)
                    parameter.sub_(LR * speed)


def softmax(z: Tensor) -> Tensor:
    return z.exp() / z.exp().sum(1, keepdim=True)


def test_training_equals_a_hand_written_loop() -> None:
    torch.manual_seed(0)
    student, teacher = Net(4).double(), Net(6).double()
    student.drop = nn.Identity()
    distiller = Distiller(
        student, teacher, terms={"kl": Term(KLDivergence(tau=TAU), weight=0.9), "hint": hint(weight=Constant(10.0))}
    )
    distiller.prepare(images().double())
    by_hand, frozen = copy.deepcopy(student), copy.deepcopy(teacher)
    adapter = copy.deepcopy(distiller.connectors["hint"].conv)
    batches = [images(count).double() for count in (4, 5, 6, 7, 8)]
    run_by_hand(by_hand, frozen, adapter, batches)

    optimizer = torch.optim.SGD(distiller.parameters(), lr=LR, momentum=MOMENTUM)
    for x in batches:
        optimizer.zero_grad()
        out = distiller(x, labels=labels(len(x)))
        (0.1 * F.cross_entropy(out.output, labels(len(x))) + out.loss).backward()
        optimizer.step()

    assert bits(student)["norm.num_batches_tracked"] == 5
    torch.testing.assert_close(bits(student), bits(by_hand), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(bits(distiller.connectors["hint"].conv), bits(adapter), rtol=1e-12, atol=1e-12)


def test_what_one_call_gives() -> None:
    distiller = prepared()
    distiller.terms["hint"].weight = Constant(0.5)
    distiller.at()
    distiller.eval()
    out = distiller(images())
    student, teacher = distiller.student, distiller.teachers["teacher"].network
    torch.testing.assert_close(out.output, student(images()))
    torch.testing.assert_close(out.losses["kl"], KLDivergence(tau=4.0)(student(images()), teacher(images())))
    assert out.weights == {"kl": 1.0, "hint": 0.5}
    torch.testing.assert_close(out.loss, out.losses["kl"] + 0.5 * out.losses["hint"])
    assert list(out.losses) == ["kl", "hint"]
    assert out.loss.shape == ()


def test_without_terms_it_is_plain_distillation() -> None:
    student, teacher = Mlp(4), Mlp(7)
    out = Distiller(student, teacher)(vectors())
    expected = KLDivergence(tau=4.0)(student(vectors()), teacher(vectors()))
    torch.testing.assert_close(out.loss, expected)
    assert list(out.losses) == ["kl"]


def test_without_teacher_and_terms_it_is_the_student() -> None:
    student = Mlp()
    out = Distiller(student)(vectors())
    torch.testing.assert_close(out.output, student(vectors()))
    assert out == Distilled(out.output, {}, out.loss, {})
    assert out.loss == 0


def test_gradients_reach_the_student_and_the_connector_only() -> None:
    distiller = prepared()
    distiller(images()).loss.backward()
    without = {name for name, parameter in distiller.named_parameters() if parameter.grad is None}
    assert without == {"student.unused.weight", "student.unused.bias"}
    teacher = distiller.teachers["teacher"].network
    assert all(parameter.grad is None for parameter in teacher.parameters())


# What is in it


class Learned(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.scale * (student - teacher).square().mean()


def test_parameters_and_state_hold_student_connectors_and_losses_never_a_teacher() -> None:
    student = Mlp(4)
    left, right = nn.Linear(4, 3), nn.Linear(7, 3)
    terms = {
        "auto": Term(L2(), student="body", teacher="body", connector="auto"),
        "given": Term(Learned(), student="body", teacher="body", connector=left, teacher_connector=right),
    }
    distiller = Distiller(student, Mlp(7), terms=terms)
    distiller.prepare(vectors())
    own = {f"student.{name}" for name in student.state_dict()}
    adapters = {
        *("connectors.auto.linear.weight", "connectors.auto.linear.bias"),
        *("connectors.given.weight", "connectors.given.bias"),
        *("teacher_connectors.given.weight", "teacher_connectors.given.bias"),
    }
    assert {name for name, _ in distiller.named_parameters()} == own | adapters | {"losses.given.scale"}
    assert distiller.state_dict().keys() == own | adapters | {"losses.given.scale"}


def test_state_is_loaded_into_another_distiller() -> None:
    first, second = prepared(), prepared(Net(4), Net(6))
    second.teachers["teacher"].network.load_state_dict(first.teachers["teacher"].network.state_dict())
    assert second(images()).loss != first(images()).loss
    second.load_state_dict(first.state_dict())
    assert second.eval()(images()).loss == first.eval()(images()).loss


def test_parameters_are_not_given_out_while_a_connector_is_missing() -> None:
    distiller = Distiller(Net(4), Net(6), terms={"hint": hint()})
    message = 'connectors are still to be inferred ("auto"). Call distiller.prepare(images) before parameters() and '
    with pytest.raises(StillroomError, match=quoted(message + "the optimizer.")):
        distiller.parameters().__next__()
    distiller.prepare(images())
    assert len(list(distiller.parameters())) == len(list(distiller.student.parameters())) + 2


# The clock


def counted_terms() -> dict[str, Term]:
    return {
        "early": Term(KLDivergence(), teacher="first/", weight=Between(1.0, stop=2)),
        "late": Term(KLDivergence(), teacher="second/", weight=Between(WarmUp(1.0, duration=4), start=2)),
    }


def test_a_term_of_weight_zero_is_not_computed_and_its_teacher_not_run() -> None:
    first, second = Counted(), Counted()
    distiller = Distiller(Mlp(), {"first": first, "second": second}, terms=counted_terms())
    out = distiller(vectors())
    assert (list(out.losses), out.weights) == (["early"], {"early": 1.0})
    assert (first.runs, second.runs) == (1, 0)
    distiller.at(epoch=2)
    out = distiller(vectors())
    assert (list(out.losses), out.weights) == (["late"], {"late": 0.75})
    assert (first.runs, second.runs) == (1, 1)
    assert distiller.teach(vectors()).keys() == {"second/"}


def test_a_weight_of_zero_runs_no_teacher_and_gives_a_loss_of_zero() -> None:
    teacher, student = Counted(), Mlp()
    distiller = Distiller(student, teacher, terms={"kl": Term(KLDivergence(), weight=0)})
    out = distiller(vectors())
    assert (teacher.runs, out.losses, out.weights, out.loss.item()) == (0, {}, {}, 0.0)
    assert out.output.shape == (4, 5)


def test_the_clock_keeps_what_it_is_not_told() -> None:
    weight = Between(WarmUp(1.0, duration=10, unit="step"), stop=2)
    distiller = Distiller(Mlp(), Mlp(), terms={"kl": Term(KLDivergence(), weight=weight)})
    distiller.at(step=4)
    assert distiller(vectors()).weights == {"kl": 0.5}
    distiller.at(epoch=1)
    assert distiller(vectors()).weights == {"kl": 0.5}
    distiller.at(epoch=2)
    assert distiller(vectors()).weights == {}


# Inputs and outputs of every kind


def test_one_mapping_becomes_the_keywords_of_the_models_and_items_of_outputs_are_sites() -> None:
    student, teacher = Worded(4), Worded(7)
    batch = {"x": vectors(), "mask": torch.ones(4, 1)}
    terms = {
        "kl": Term(KLDivergence(), student="[logits]", teacher="[logits]"),
        "hint": Term(L2(), student="[hidden]", teacher="body@0", connector="auto"),
    }
    distiller = Distiller(student, teacher, terms=terms)
    distiller.prepare(batch)
    out = distiller(batch)
    expected = KLDivergence()(student(**batch)["logits"], teacher(**batch)["logits"])
    torch.testing.assert_close(out.losses["kl"], expected)
    torch.testing.assert_close(out.output["logits"], student(**batch)["logits"])


def test_several_inputs_are_passed_on() -> None:
    x, mask = vectors(), torch.zeros(4, 1)
    student = Worded(4)
    distiller = Distiller(student, Worded(7), terms={"kl": Term(KLDivergence(), student="[logits]", teacher="head")})
    assert distiller(x, mask).output["hidden"].tolist() == student.body(torch.zeros(4, 6)).tolist()


def test_attributes_of_an_output_object_are_sites() -> None:
    student, teacher = Object(4), Object(7)
    terms = {"kl": Term(KLDivergence(), student="[logits]", teacher=ModuleOutputs("", items=("logits",)))}
    out = Distiller(student, teacher, terms=terms)(vectors())
    expected = KLDivergence()(student(vectors()).logits, teacher(vectors()).logits)
    torch.testing.assert_close(out.loss, expected)


def test_values_before_an_activation_in_place() -> None:
    student, teacher = Net(4), Net(4)
    distiller = Distiller(student, teacher, terms={"hint": Term(L2(), student="norm", teacher="norm")})
    expected = F.mse_loss(student.norm(student.conv(images())), teacher.norm(teacher.conv(images())))
    for _ in range(3):
        torch.testing.assert_close(distiller(images()).loss, expected)


# What was taught


def test_what_was_taught_replaces_the_teacher() -> None:
    teacher = Counted(7)
    terms = {"kl": Term(KLDivergence()), "hint": Term(L2(), student="body", teacher="body", connector="auto")}
    distiller = Distiller(Mlp(4), teacher, terms=terms)
    distiller.prepare(vectors())
    live = distiller(vectors())
    taught = distiller.teach(vectors())
    assert {key: tuple(value.shape) for key, value in taught.items()} == {"teacher/": (4, 5), "teacher/body": (4, 7)}
    assert not any(value.requires_grad for value in taught.values())
    runs = teacher.runs
    replayed = distiller(vectors(), taught=taught)
    assert teacher.runs == runs
    assert torch.equal(replayed.loss, live.loss)
    assert replayed.losses == live.losses


def test_what_was_taught_lacks_a_site() -> None:
    distiller = prepared()
    taught = distiller.teach(images())
    del taught["teacher/norm"]
    message = (
        "terms.hint: nothing was taught for 'teacher/norm'; got values of 'teacher/', 'student/norm', 'student/'. "
        "Pass what distiller.teach(*inputs) returns while this term is active."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(images(), taught=taught)
    message = message.replace("hint", "kl").replace("'teacher/norm'", "'teacher/'").replace("of 'teacher/', ", "of ")
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(images(), taught={})
