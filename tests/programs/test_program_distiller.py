"""The distiller on one program gives what the distiller with hooks gives, to the bit."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from program_nets import Does, Mlp, Net, assert_same, bits, images, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import (
    Between,
    Distiller,
    FunctionDelivery,
    FunctionOutputs,
    Parameter,
    Site,
    StillroomError,
    Submodule,
    Teacher,
    Term,
    programs,
)
from stillroom.losses import L2, KLDivergence
from stillroom.programs import ProgramDistiller


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


class Labelled(nn.Module):
    """A loss with context and an extra value."""

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(student, labels) * weight.square().mean() + (student - teacher).abs().mean()


def all_terms() -> dict[str, Term]:
    return {
        "kl": Term(KLDivergence(tau=4.0)),
        "hint": Term(L2(), student="blocks", teacher="blocks", connector="auto"),
        "before": Term(L2(), student="blocks.0.norm1", teacher="blocks.0.norm1", connector="auto", weight=0.5),
        "inside": Term(L2(), student="blocks.1:input", teacher="blocks.1:input", connector="auto"),
        "call": Term(L2(), student="blocks.0.act@1", teacher="blocks.1.act@-1", connector="auto"),
        "labelled": Term(Labelled(), extra={"weight": Site(Parameter("fc.weight"), "student")}),
    }


def pair(seed: int = 0) -> tuple[Net, Net]:
    torch.manual_seed(seed)
    return Net(4), Net(6)


def both(terms: Any = all_terms) -> tuple[Distiller, ProgramDistiller]:
    """The same distiller with hooks and on a program."""
    one, other = Distiller(*pair(), terms=terms()), programs.distiller(*pair(), images(), terms=terms())
    for distiller in (one, other):
        torch.manual_seed(1)
        distiller.prepare(images())
    return one, other


LABELS = torch.tensor([0, 3])


def test_the_same_numbers_as_with_hooks() -> None:
    results: list[Any] = []
    for distiller in both():
        optimizer = torch.optim.SGD(distiller.parameters(), 0.05, momentum=0.9)
        seen: list[Any] = []
        for step in range(3):
            optimizer.zero_grad()
            out = distiller(images() + 0.1 * step, labels=LABELS)
            out.loss.backward()
            optimizer.step()
            seen.append([out.output, out.losses, out.loss, out.weights])
        gradients = {name: parameter.grad for name, parameter in distiller.named_parameters()}
        results.append([seen, gradients, bits(distiller), distiller.eval()(images(), labels=LABELS).output])
    assert_same(*results)
    assert all(gradient is not None for gradient in results[1][1].values())


def test_the_same_preparation_as_with_hooks() -> None:
    student, teacher = pair()
    distiller = programs.distiller(student, teacher, images(), terms=all_terms())
    before, taught, state = bits(student), bits(teacher), torch.get_rng_state()
    with pytest.raises(StillroomError, match=r"^the distiller is not prepared\. Call"):
        distiller(images())
    distiller.prepare(images())
    distiller.prepare(images())
    assert_same([bits(student), bits(teacher)], [before, taught])
    assert torch.equal(torch.get_rng_state(), state)
    one, other = both()
    assert [type(part) for part in one.connectors.modules()] == [type(part) for part in other.connectors.modules()]
    assert [*one.state_dict()] == [*other.state_dict()]


def test_what_hooks_taught_is_what_a_program_teaches() -> None:
    one, other = both()
    assert_same(other.teach(images()), one.teach(images()))
    expected = other(images(), labels=LABELS).losses
    other.teachers["teacher"].network.forward = None  # neither runs
    assert_same(other(images(), taught=one.teach(images()), labels=LABELS).losses, expected)
    with pytest.raises(StillroomError, match=r"^terms\.kl: nothing was taught for 'teacher/'; got values of "):
        other(images(), taught={"teacher/blocks": images()}, labels=LABELS)


def test_the_teacher_is_computed_as_far_as_terms_need_it() -> None:
    terms = {"hint": Term(L2(), student="blocks.0", teacher="blocks.0"), "kl": Term(KLDivergence())}
    terms["kl"].weight = Between(1.0, start=1, unit="step")
    student, teacher = Net(4), Net(4)
    distiller = programs.distiller(student, teacher, images(), terms=terms)
    teacher.blocks[1].register_forward_hook(lambda *_: pytest.fail("a program has no containers"))
    ran: list[int] = []
    teacher.fc.register_forward_hook(lambda *_: ran.append(1))
    assert [*distiller(images()).losses] == ["hint"] and not ran
    distiller.at(step=1)
    assert [*distiller(images()).losses] == ["hint", "kl"] and ran
    distiller.at(step=0)
    ran.clear()
    assert [*distiller(images()).losses] == ["hint"] and not ran


def test_no_active_term() -> None:
    distiller = programs.distiller(*pair(), images(), terms={"kl": Term(KLDivergence(), weight=0.0)})
    out = distiller(images())
    assert out.losses == {} and out.loss == 0 and out.output.shape == (2, 5)
    assert distiller.teach(images()) == {}


def test_several_teachers_with_options() -> None:
    def make(kind: Any) -> Distiller:
        torch.manual_seed(0)
        student, big, odd = Mlp(4), Mlp(7), Does(lambda net, x: net.lin(x) + torch.tensor([1.0]))
        shifted = Teacher(odd, transform=lambda x: x * 2 + 1, classes=[4, 0, 1, 2, 3])
        terms = {
            "big": Term(L2(), student="body", teacher="big/body", connector="auto"),
            "odd": Term(KLDivergence(), teacher="odd/"),
            "lin": Term(L2(), student="head", teacher="odd/lin", connector="auto"),
        }
        distiller = kind(student, {"big": big, "odd": shifted}, terms=terms)
        torch.manual_seed(1)
        distiller.prepare(vectors())
        return distiller

    one = make(Distiller)
    other = make(lambda student, teachers, terms: programs.distiller(student, teachers, vectors(), terms=terms))
    assert_same(other(vectors()).losses, one(vectors()).losses)
    assert_same(other.double()(vectors().double()).losses, one.double()(vectors().double()).losses)
    assert [constant.dtype for constant in other.program.constants.buffers()] == [torch.float64]


def test_keywords() -> None:
    class Worded(Mlp):
        def forward(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
            return {"hidden": self.body(x * mask), "logits": super().forward(x * mask)}

    batch = {"x": vectors(), "mask": vectors(4) > 0}
    torch.manual_seed(0)
    student, teacher = Worded(4), Worded(4)
    terms = {
        "kl": Term(KLDivergence(), student="[logits]", teacher="[logits]"),
        "hidden": Term(L2(), student="[hidden]", teacher="body@0"),
    }
    one = Distiller(copy.deepcopy(student), copy.deepcopy(teacher), terms=terms)
    other = programs.distiller(student, teacher, batch, terms=terms)
    assert_same(other(batch).losses, one(batch).losses)
    assert_same(other(batch).output, one(batch).output)


def test_tensors_by_name_and_parts_of_the_models() -> None:
    torch.manual_seed(0)
    student, teacher = (Does(lambda net, x: net.lin(x).chunk(2, -1)[1] * net.mean.exp()[:3]) for _ in range(2))
    terms = {
        "product": Term(L2(), student="mul", teacher="mul"),
        "item": Term(L2(), student="chunk[1]", teacher="chunk[1]"),
        "tuple": Term(L2(), student="chunk[0]", teacher="chunk[0]"),  # of a tensor that the model takes no part of
        "head": Term(Heads(), student="lin", extra={"head": Site(Submodule("lin"), "teacher")}),
    }
    losses = programs.distiller(student, teacher, vectors(), terms=terms)(vectors()).losses
    (first, second), (taught, other) = (net.lin(vectors()).chunk(2, -1) for net in (student, teacher))
    expected = [F.mse_loss(second, other), F.mse_loss(second, other), F.mse_loss(first, taught)]
    assert_same([*losses.values()], [*expected, teacher.lin(student.lin(vectors())).square().mean()])


class Heads(nn.Module):
    def forward(self, student: Tensor, head: nn.Module) -> Tensor:
        return head(student).square().mean()


def test_a_copy_distils_its_own_models() -> None:
    _, distiller = both()
    other = copy.deepcopy(distiller)
    before, expected = bits(distiller), distiller(images(), labels=LABELS)
    found = other(images(), labels=LABELS)
    assert_same(found.losses, expected.losses)
    found.loss.backward()
    assert all(parameter.grad is None for parameter in distiller.parameters())
    with torch.no_grad():
        for parameter in [*other.parameters(), *other.teachers["teacher"].network.parameters()]:
            parameter.zero_()
    assert_same(other.eval()(images(), labels=LABELS).losses["kl"], torch.tensor(0.0))
    assert distiller(images(), labels=LABELS).losses["kl"] > 0
    assert_same(
        {name: value for name, value in bits(distiller).items() if "weight" in name},
        {name: value for name, value in before.items() if "weight" in name},
    )


def test_a_teacher_that_wakes_up_is_an_error() -> None:
    _, distiller = both()
    distiller.train()
    distiller.teachers["teacher"].network.train()
    with pytest.raises(StillroomError, match="the teacher was put into train mode"):
        distiller(images(), labels=LABELS)


# Refusals


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            Term(L2(), student=FunctionOutputs("torch.relu"), teacher="stem"),
            "terms.a.student: a program does not record FunctionOutputs; expected a module, a tensor of the program or "
            "a Parameter, got 'FunctionOutputs(torch.relu)'. Distiller(student, teacher, terms=...) records it through "
            "hooks.",
        ),
        (
            Term(L2(), student="stm", teacher="stem"),
            "terms.a.student: there is no tensor 'stm'. Did you mean 'stem'?",
        ),
        (
            Term(L2(), student="stem", teacher="stm"),
            "terms.a.teacher: there is no tensor 'teacher/stm'. Did you mean 'teacher/stem'",
        ),
        (
            Term(L2(), student="blocks.0.act", teacher="stem"),
            "terms.a.student: module 'blocks.0.act' was called 2 times in one forward pass. Choose one call: "
            "blocks.0.act@0 ... blocks.0.act@1.",
        ),
        (
            Term(L2(), student="blocks.0.act@2", teacher="stem"),
            "terms.a.student: module 'blocks.0.act' was called less often than asked for; expected call @2, got 2 "
            "call(s), counted from @0.",
        ),
        (
            Term(L2(), student=Parameter("fc.wait"), teacher="stem"),
            "terms.a.student: Net has no parameter 'fc.wait'. Did you mean 'fc.weight'",
        ),
    ],
)
def test_sites_that_are_not_there(term: Term, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        programs.distiller(*pair(), images(), terms={"a": term})


def test_an_item_that_is_not_there() -> None:
    distiller = programs.distiller(*pair(), images(), terms={"a": Term(L2(), student="stem[logits]", teacher="stem")})
    message = "terms.a.student: the recorded value has no item [logits]; got a Tensor of shape (2, 4, 8, 8)."
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(images())


def test_deliveries_and_wrappers_are_for_hooks() -> None:
    message = (
        "deliveries: a program has no deliveries; got 'd'. "
        "Distiller(student, teacher, deliveries=...) makes them through hooks."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        programs.distiller(*pair(), images(), deliveries={"d": FunctionDelivery("torch.rand")})
    with pytest.raises(StillroomError, match=r"^teacher: the forward pass of Does cannot be followed .*through hooks"):
        programs.distiller(Mlp(), Does(lambda net, x: net.lin(x) if x.sum() > 0 else x), vectors())
    model = Mlp()
    with pytest.raises(StillroomError, match=r"^teacher: student and teacher share .* copy\.deepcopy\(model\)\.$"):
        programs.distiller(model, model, vectors())
