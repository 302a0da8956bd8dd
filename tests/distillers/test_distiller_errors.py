"""What a distiller refuses: each message names the term, with its values."""

from __future__ import annotations

import math
import re

import pytest
import torch
from distil_nets import Mlp, Net, Spy, Worded, bits, hint, hooks, images, prepared, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distilled, Distiller, StillroomError, Teacher, Term
from stillroom.losses import L2, KLDivergence


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


# Losses that are none


class Fixed(Spy):
    """Returns what it is told to."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, student: Tensor) -> object:
        return self.value


def of_fixed(**values: object) -> Distiller:
    return Distiller(Mlp(), terms={name: Term(Fixed(value)) for name, value in values.items()})


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_names_its_term(value: float, shown: str) -> None:
    message = (
        f"terms.b: the loss is not finite; got {shown}. "
        "Look at the learning rate, the term's weight and the values at its sites."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        of_fixed(a=torch.tensor(1.0), b=torch.tensor(value))(vectors())


def test_a_sum_that_is_not_finite() -> None:
    huge = torch.tensor(3e38)
    with pytest.raises(StillroomError, match=quoted("the weighted sum of the terms is not finite; got inf.")):
        of_fixed(a=huge, b=huge)(vectors())


def test_check_is_for_those_who_wait_for_the_device_themselves() -> None:
    nan, one = torch.tensor(math.nan), torch.tensor(1.0)
    Distilled(None, {"a": one}, one, {"a": 1.0}).check()
    with pytest.raises(StillroomError, match=r"^terms\.a: the loss is not finite; got nan\."):
        Distilled(None, {"a": nan}, nan, {"a": 1.0}).check()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(torch.ones(4), "a Tensor of shape (4,)"), (torch.ones(1), "a Tensor of shape (1,)"), (1.0, "a float")],
)
def test_a_loss_that_is_no_number(value: object, shown: str) -> None:
    message = f"terms.a: the loss must return one number; expected a Tensor of shape (), got {shown}."
    with pytest.raises(StillroomError, match=quoted(message)):
        of_fixed(a=value)(vectors())


def test_an_argument_of_a_loss_is_missing() -> None:
    distiller = Distiller(Mlp(), terms={"task": Term(Labelled())})
    message = (
        "terms.task: Labelled needs the argument 'labels'. "
        "Pass it: distiller(inputs, labels=...); or record it: extra={'labels': site}."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


class Labelled(nn.Module):
    def forward(self, student: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(student, labels)


class WithBoxes(nn.Module):
    def forward(self, student: Tensor, teacher: Tensor, *, weights: Tensor | None = None) -> Tensor:
        return F.mse_loss(student, teacher) * (1.0 if weights is None else weights.mean())


def test_a_keyword_that_is_misspelt() -> None:
    distiller = Distiller(Mlp(), Mlp(), terms={"a": Term(WithBoxes()), "b": Term(Labelled())})
    weights, labels = torch.full((4,), 2.0), torch.zeros(4, dtype=torch.long)
    for call in (distiller, distiller.prepare):
        with pytest.raises(StillroomError, match=quoted("no term takes 'weight'. Did you mean 'weights'?")):
            call(vectors(), labels=labels, weight=weights)
        with pytest.raises(StillroomError, match=quoted("no term takes 'lables'. Did you mean 'labels'?")):
            call(vectors(), lables=labels)
        call(vectors(), labels=labels, weights=weights, weight=weights, names=["a"], index=labels)  # as a batch may be


def test_shapes_that_differ_name_the_term() -> None:
    distiller = Distiller(Mlp(4), Mlp(7), terms={"hint": Term(L2(), student="body", teacher="body")})
    message = (
        "terms.hint: student and teacher differ in shape; expected equal shapes, got student (4, 4) and teacher "
        "(4, 7). A connector can adapt the student to the teacher."
    )
    for call in (distiller, distiller.prepare):
        with pytest.raises(StillroomError, match=quoted(message)):
            call(vectors())


# Sites that have no value


def test_a_module_that_did_not_run_names_the_nearest_that_did() -> None:
    distiller = Distiller(Net(4), Net(6), terms={"hint": Term(L2(), student="unused", teacher="conv")})
    message = (
        "terms.hint.student: module 'unused' was never called in the forward pass. "
        "These were: act, conv, drop, head, norm."
    )
    before, state = bits(distiller.student), torch.get_rng_state()
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller.prepare(images())
    assert hooks(distiller.student) == 1
    torch.testing.assert_close(bits(distiller.student), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_search_for_the_nearest_moves_no_statistics() -> None:
    student = Net(4)
    distiller = Distiller(student, Net(6), terms={"hint": Term(L2(), student="unused", teacher="conv")})
    with pytest.raises(StillroomError, match="These were"):
        distiller(images())
    assert student.norm.num_batches_tracked == 1


def test_a_teachers_module_that_did_not_run() -> None:
    teacher = Net(6)
    teacher.heads = nn.Linear(2, 2)
    distiller = Distiller(Net(4), {"big": teacher}, terms={"hint": Term(L2(), teacher="big/heads")})
    message = "terms.hint.teacher: module 'heads' was never called in the forward pass. Did you mean 'head'?"
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(images())


def test_an_item_that_is_not_there_names_the_term() -> None:
    distiller = Distiller(Worded(), Mlp(), terms={"kl": Term(KLDivergence(), student="[logit]")})
    message = (
        "terms.kl.student: the recorded value has no item [logit]; got a dict with hidden, logits. "
        "Did you mean 'logits'?"
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors(), torch.ones(4, 1), taught={})


def test_a_call_of_the_model_that_there_was_not() -> None:
    distiller = Distiller(Mlp(), Mlp(), terms={"kl": Term(KLDivergence(), student="@1")})
    message = (
        "terms.kl.student: module '' was called less often than asked for; "
        "expected call @1, got 1 call(s), counted from @0."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


def test_a_failing_model_leaves_no_value_behind() -> None:
    distiller = prepared()
    head, distiller.student.head = distiller.student.head, nn.Linear(9, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        distiller(images())
    distiller.student.head = head
    distiller.student(images())
    assert all(tap.calls == [] for tap in distiller._taps.values())
    distiller(images())


# What is refused when it is made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student": None}, "student: this is no model; expected an nn.Module, got None."),
        ({"teacher": "resnet"}, "teacher: this is no model; expected an nn.Module, got 'resnet'."),
        ({"teacher": {"big": 3}}, "teacher.big: this is no model; expected an nn.Module, got 3."),
        (
            {"deliveries": {"mask": "torch.rand"}},
            "deliveries.mask: this is no delivery; expected FunctionDelivery(path), MethodDelivery(path) or "
            "ModuleDelivery(path), got 'torch.rand'.",
        ),
        (
            {"deliveries": ["torch.rand"]},
            "deliveries: deliveries have names; expected a mapping from names, got ['torch.rand'].",
        ),
        ({"terms": ["kl"]}, "terms: terms have names; expected a mapping from names, got ['kl']."),
    ],
)
def test_what_is_no_model_term_or_delivery(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(**{"student": Mlp(), "teacher": Mlp()} | arguments)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            Term(L2(), student="cov", teacher="norm"),
            "terms.hint.student: Net has no module 'cov'. Did you mean 'conv'?",
        ),
        (Term(L2(), student="norm", teacher="hed"), "terms.hint.teacher: Net has no module 'hed'. Did you mean 'head'"),
        (
            Term(L2(), teacher="techer/norm"),
            "terms.hint.teacher: there is no model 'techer'; got 'techer/norm'. Did you mean 'teacher'?",
        ),
        (
            Term(L2(), student="teacher/norm"),
            "terms.hint.student: the student's value of a term is read in the student; got 'teacher/norm'. "
            "extra={argument: site} reads any model.",
        ),
        (
            Term(L2(), teacher="student/norm"),
            "terms.hint.teacher: the teacher's value of a term is read in a teacher; got 'student/norm'. "
            "extra={argument: site} reads any model.",
        ),
        (
            Term(L2(), extra={"student": "techer/norm"}),
            "terms.hint.extra.student: there is no model 'techer'; got 'techer/norm'. Did you mean 'teacher'?",
        ),
    ],
)
def test_a_site_that_does_not_exist_leaves_no_hooks(term: Term, message: str) -> None:
    student, teacher = Net(4), Net(6)
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        Distiller(student, teacher, terms={"first": hint(), "hint": term})
    assert hooks(student) == hooks(teacher) == 0


def test_a_term_needs_a_teacher_and_there_is_none() -> None:
    message = (
        "terms.kl.teacher: this term needs a teacher, and the distiller has none. "
        "Give a teacher, or leave the term out (terms.kl=null in a recipe)."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Mlp(), terms={"kl": Term(KLDivergence())})


def test_a_loss_without_a_value_of_the_student() -> None:
    class Context(nn.Module):
        def forward(self, *, labels: Tensor) -> Tensor:
            return labels.float().mean()

    message = "terms.context: the loss takes no value of the student; got Context."
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Mlp(), terms={"context": Term(Context())})


@pytest.mark.parametrize("name", ["", "a.b", "pop", "training"])
def test_a_name_that_no_term_can_have(name: str) -> None:
    message = f"terms: this cannot be a term's name; got {name!r}. Choose another."
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Mlp(), Mlp(), terms={name: Term(KLDivergence())})


@pytest.mark.parametrize("name", ["", "student", "a/b", "a.b", "keys", "training"])
def test_a_name_that_no_teacher_can_have(name: str) -> None:
    with pytest.raises(StillroomError, match=quoted(f"teacher: this cannot be a teacher's name; got {name!r}.")):
        Distiller(Mlp(), {name: Mlp()})


def test_a_loss_in_the_place_of_a_term() -> None:
    message = "terms.hint: this is no term; expected Term(loss, ...), got L2()."
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Mlp(), Mlp(), terms={"hint": L2()})


def test_one_object_cannot_be_both() -> None:
    model = Mlp()
    message = (
        "teacher: student and teacher share what one trains and the other must freeze; got {}. "
        "Give the teacher a copy: copy.deepcopy(model)."
    )
    with pytest.raises(StillroomError, match=quoted(message.format("4 parameter(s), the first 'body.weight'"))):
        Distiller(model, model)
    assert model.training and model.head.weight.requires_grad
    with pytest.raises(StillroomError, match=quoted(message.format("4 parameter(s), the first 'body.weight'"))):
        Distiller(model, Teacher(model))
    other = Mlp()
    other.head = model.head
    message = message.replace("teacher: ", "big: ", 1).format("2 parameter(s), the first 'head.weight'")
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(model, {"big": other})
    bare = nn.Identity()
    with pytest.raises(StillroomError, match="the other must freeze; got the same object"):
        Distiller(bare, bare)
