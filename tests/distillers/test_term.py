"""How a term binds the arguments of its loss."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from distil_nets import CountedConnector, Mlp, Spy, labels, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distiller, ModuleInputs, ModuleOutputs, StillroomError, Term
from stillroom.connectors import Linear
from stillroom.losses import L2


class Plain(Spy):
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.note(student=student, teacher=teacher)


class Alone(Spy):
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.note(logits=logits, labels=labels)


class Between(Spy):
    """What is no operand stands between the operands."""

    def forward(self, student: Tensor, labels: Tensor, feature: Tensor, teacher: Tensor) -> Tensor:
        return self.note(student=student, labels=labels, feature=feature, teacher=teacher)


class Optional(Spy):
    def forward(self, student: Tensor, teacher: Tensor, boxes: object = "none", *, index: object = "all") -> Tensor:
        return self.note(boxes=boxes, index=index)


class Third(Spy):
    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return self.note(mask=mask)


class Open(Spy):
    def forward(self, student: Tensor, teacher: Tensor, **more: object) -> Tensor:
        return self.note(**more)


def run(term: Term, x: Tensor | None = None, **context: object) -> tuple[Mlp, Mlp, dict[str, Tensor]]:
    """Student, teacher and losses after one call."""
    torch.manual_seed(0)
    student, teacher = Mlp(4), Mlp(7)
    distiller = Distiller(student, teacher, terms={"term": term})
    distiller.prepare(vectors(), **context)
    for spied in [term.loss] if isinstance(term.loss, Spy) else []:
        spied.calls.clear()
    return student, teacher, distiller(vectors() if x is None else x, **context).losses


# Operands


def test_first_is_the_student_second_the_teacher_whatever_their_names() -> None:
    student, teacher, losses = run(Term(nn.MSELoss()))
    torch.testing.assert_close(losses["term"], F.mse_loss(student(vectors()), teacher(vectors())))


def test_a_loss_on_the_student_alone_needs_no_teacher() -> None:
    loss, student = Alone(), Mlp()
    term = Term(loss)
    assert not term.needs_teacher
    Distiller(student, terms={"term": term})(vectors(), labels=labels())
    torch.testing.assert_close(loss.calls[0], {"logits": student(vectors()), "labels": labels()})


def test_context_and_extra_values_may_stand_between_the_operands() -> None:
    loss = Between()
    student, teacher, _ = run(Term(loss, extra={"feature": "student/body"}), labels=labels())
    wanted = {"student": student(vectors()), "teacher": teacher(vectors()), "feature": student.body(vectors())}
    torch.testing.assert_close(loss.calls[0], wanted | {"labels": labels()})


def test_sites_of_both_sides() -> None:
    loss = Plain()
    student, teacher, _ = run(Term(loss, student="body", teacher=ModuleInputs("head")))
    torch.testing.assert_close(
        loss.calls[0], {"student": student.body(vectors()), "teacher": teacher.body(vectors()).tanh()}
    )


def test_a_sequence_of_sites_gives_a_tuple_also_one_of_one() -> None:
    loss = Plain()
    student, teacher, _ = run(Term(loss, student=("body", ""), teacher=[ModuleOutputs("head")]))
    given = loss.calls[0]
    torch.testing.assert_close(given["student"], (student.body(vectors()), student(vectors())))
    torch.testing.assert_close(given["teacher"], (teacher(vectors()),))


# Context


def test_optional_context_is_passed_where_it_is_given() -> None:
    loss = Optional()
    run(Term(loss))
    run(Term(loss, extra={"index": "teacher/"}), index=3, boxes=[1], labels=None, other="ignored")
    (last,) = loss.calls
    assert last["boxes"] == [1]
    assert last["index"].shape == (4, 5)


def test_optional_context_keeps_its_default_where_it_is_not_given() -> None:
    loss = Optional()
    run(Term(loss), labels=labels())
    assert loss.calls == [{"boxes": "none", "index": "all"}]


def test_a_third_argument_is_context_whatever_its_name() -> None:
    loss = Third()
    run(Term(loss), mask=7)
    assert loss.calls == [{"mask": 7}]


def test_extra_values_of_both_models() -> None:
    loss = Open()
    student, teacher, _ = run(Term(loss, extra={"a": "student/body", "b": "teacher/body"}))
    torch.testing.assert_close(loss.calls[0], {"a": student.body(vectors()), "b": teacher.body(vectors())})


# Connectors


def test_connectors_on_both_sides() -> None:
    loss, left, right = Plain(), Linear(4, 3), Linear(7, 3)
    term = Term(loss, student="body", teacher="body", connector=left, teacher_connector=right)
    student, teacher, _ = run(term)
    torch.testing.assert_close(
        loss.calls[0], {"student": left(student.body(vectors())), "teacher": right(teacher.body(vectors()))}
    )


@pytest.mark.parametrize("kind", [list, tuple, nn.ModuleList])
def test_a_sequence_of_connectors_one_for_each_site(kind: Callable[[list[nn.Module]], object]) -> None:
    loss, first, second = Plain(), Linear(4, 3), Linear(5, 3)
    term = Term(loss, student=("body", ""), connector=kind([first, second]))
    student, _, _ = run(term)
    wanted = (first(student.body(vectors())), second(student(vectors())))
    torch.testing.assert_close(loss.calls[0]["student"], wanted)


def test_a_sequence_of_connectors_at_one_site_is_a_chain() -> None:
    loss, first, second = Plain(), Linear(4, 5), Linear(5, 3)
    student, _, _ = run(Term(loss, student="body", connector=[first, second]))
    torch.testing.assert_close(loss.calls[0]["student"], second(first(student.body(vectors()))))


def test_one_connector_may_take_the_whole_tuple() -> None:
    class Sum(nn.Module):
        def forward(self, values: tuple[Tensor, ...]) -> Tensor:
            return values[0].sum(1) + values[1].sum(1)

    loss = Plain()
    student, _, _ = run(Term(loss, student=("body", ""), connector=Sum()))
    torch.testing.assert_close(loss.calls[0]["student"], student.body(vectors()).sum(1) + student(vectors()).sum(1))


def test_auto_infers_one_connector_for_each_pair_of_sites() -> None:
    loss = Plain()
    run(Term(loss, student=("body", ""), teacher=("body", ""), connector="auto"))
    assert [value.shape for value in loss.calls[0]["student"]] == [(4, 7), (4, 5)]


def test_one_connector_in_two_terms_runs_once_and_is_trained_once() -> None:
    shared = CountedConnector(4, 7)
    terms = {name: Term(L2(), student="body", teacher="body", connector=shared) for name in ("a", "b")}
    student = Mlp(4)
    distiller = Distiller(student, Mlp(7), terms=terms)
    distiller(vectors())
    assert shared.runs == 1
    assert len(list(distiller.parameters())) == len(list(student.parameters())) + 2


def test_one_connector_at_two_sites_runs_at_each() -> None:
    shared = CountedConnector(5, 5)
    terms = {"a": Term(L2(), connector=shared), "b": Term(L2(), student="head@0", connector=shared)}
    distiller = Distiller(Mlp(4), Mlp(7), terms=terms)
    distiller(vectors())
    assert shared.runs == 2


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Term(F.mse_loss),
            f"loss: a loss is a module; expected an instance of nn.Module, got {F.mse_loss!r}.",
        ),
        (lambda: Term(L2), f"loss: a loss is a module; expected an instance of nn.Module, got {L2!r}."),
        (
            lambda: Term(L2(), teacher_connector="auto"),
            'teacher_connector: "auto" adapts the student to the teacher. Use connector="auto".',
        ),
        (
            lambda: Term(L2(), connector="conv"),
            "connector: this is no connector; expected \"auto\", a module or a chain of modules, got 'conv'.",
        ),
        (
            lambda: Term(L2(), student="a", connector=[]),
            'connector: this is no connector; expected "auto", a module or a chain of modules, got [].',
        ),
        (
            lambda: Term(L2(), teacher=("a", "b"), teacher_connector=[nn.Identity()]),
            'teacher_connector: this is no connector; expected "auto", a module for the tuple, or 2 modules for the '
            "sites, got [Identity()].",
        ),
        (
            lambda: Term(L2(), student=("a", "b"), connector=["auto", "auto"]),
            'connector: this is no connector; expected "auto", a module for the tuple, or 2 modules for the '
            "sites, got ['auto', 'auto'].",
        ),
        (lambda: Term(L2(), weight=math.nan), "weight: a weight must be a finite number; got nan."),
        (lambda: Term(L2(), weight="high"), "weight: a weight must be a finite number; got 'high'."),
        (
            lambda: Term(L2(), student="a:b"),
            "student: this is no site; expected [teacher/]path[:input|:output][@call][item]..., got 'a:b'.",
        ),
        (
            lambda: Term(L2(), teacher=("a", nn.Identity())),
            "teacher: this is no site; expected [teacher/]path[:input|:output][@call][item]..., got Identity().",
        ),
        (
            lambda: Term(L2(), student=()),
            "student: an empty sequence names no site. Leave it out for the model's output.",
        ),
        (
            lambda: Term(Open(), extra={"a": "b@x"}),
            "extra.a: this is no site; expected [teacher/]path[:input|:output][@call][item]..., got 'b@x'.",
        ),
        (
            lambda: Term(Open(), extra=["student/body"]),
            "extra: these are no further arguments; expected a mapping from arguments to sites, got ['student/body'].",
        ),
        (
            lambda: Term(Open(), extra={"a": "layer4"}),
            'extra.a: an extra value must say which model it comes from; expected "student/..." or a teacher\'s name '
            "in front (\"teacher/...\" where there is one), got 'layer4'.",
        ),
        (
            lambda: Term(Between(), extra={"featrue": "student/body"}),
            "extra.featrue: Between has no argument 'featrue'. Did you mean 'feature'?",
        ),
        (lambda: Term(Alone(), teacher="body"), "teacher: the loss takes no value of a teacher; got Alone."),
        (
            lambda: Term(Alone(), teacher_connector=nn.Identity()),
            "teacher: the loss takes no value of a teacher; got Alone.",
        ),
    ],
)
def test_what_a_term_refuses(make: Callable[[], Term], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        make()
