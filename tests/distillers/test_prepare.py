"""prepare() finds, infers and checks, and leaves everything as it was."""

from __future__ import annotations

import re

import pytest
import torch
from distil_nets import Counted, Mlp, Net, Spy, bits, hint, hooks, images, prepared, vectors
from torch import Tensor, nn

from stillroom import Between, Distiller, StillroomError, Term
from stillroom.connectors import Conv1x1, Identity, Linear
from stillroom.losses import L2, KLDivergence


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_it_is_due_where_a_connector_is_to_be_inferred() -> None:
    distiller = Distiller(Net(4), Net(6), terms={"hint": hint()})
    message = "the distiller is not prepared. Call distiller.prepare(images) once, before making the optimizer."
    for call in (distiller, distiller.teach):
        with pytest.raises(StillroomError, match=quoted(message)):
            call(images())


def test_it_is_not_due_elsewhere() -> None:
    distiller = Distiller(Mlp(4), Mlp(7))
    assert distiller(vectors()).loss > 0


def test_connectors_are_inferred_from_the_shapes() -> None:
    terms = {
        "maps": hint("conv"),
        "vectors": Term(L2(), student="head:input", teacher="head:input", connector="auto"),
        "equal": Term(KLDivergence(), connector="auto"),
    }
    distiller = Distiller(Net(4), Net(6), terms=terms)
    distiller.prepare(images())
    assert {name: type(connector) for name, connector in distiller.connectors.items()} == {
        "maps": Conv1x1,
        "vectors": Linear,
        "equal": Identity,
    }


def test_a_connector_gets_the_type_of_the_student() -> None:
    distiller = Distiller(Net(4).double(), Net(6).double(), terms={"hint": hint()})
    distiller.prepare(images().double())
    assert {parameter.dtype for parameter in distiller.parameters()} == {torch.float64}


@pytest.mark.parametrize("training", [True, False])
def test_everything_is_as_before(training: bool) -> None:
    student, teacher = Net(4), Net(6)
    student(images()).sum().backward()
    student.conv.eval()
    distiller = Distiller(student, teacher, terms={"hint": hint(), "kl": Term(KLDivergence())})
    distiller.student.norm.train(training)
    before, taught = bits(student), bits(teacher)
    gradients = {name: parameter.grad.clone() for name, parameter in student.named_parameters() if "unused" not in name}
    modes = [module.training for module in student.modules()]
    buffers = [buffer.data_ptr() for buffer in student.buffers()]
    state = torch.get_rng_state()
    distiller.prepare(images())
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(bits(student), before, rtol=0, atol=0)
    torch.testing.assert_close(bits(teacher), taught, rtol=0, atol=0)
    assert [module.training for module in student.modules()] == modes
    assert [buffer.data_ptr() for buffer in student.buffers()] == buffers
    for name, gradient in gradients.items():
        assert torch.equal(student.get_parameter(name).grad, gradient)


def test_everything_is_as_before_also_when_it_raises() -> None:
    student = Net(4)
    distiller = Distiller(student, Net(6), terms={"hint": Term(L2(), student="norm", teacher="norm")})
    before, state = bits(student), torch.get_rng_state()
    with pytest.raises(StillroomError, match=r"got student \(4, 4, 4, 4\) and teacher \(4, 6, 4, 4\)"):
        distiller.prepare(images())
    torch.testing.assert_close(bits(student), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert student.training


def test_a_buffer_that_the_model_replaces_is_put_back() -> None:
    class Rebinding(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.seen + len(x)
            self.eval()
            return super().forward(x)

    student = Rebinding()
    buffer = student.seen
    Distiller(student, Mlp()).prepare(vectors())
    assert student.seen is buffer and buffer == 0
    assert student.training and student.body.training


def test_connectors_start_the_same_from_the_same_seed() -> None:
    first, second = prepared(Net(4), Net(6)), prepared(Net(4), Net(6))
    torch.testing.assert_close(bits(first.connectors), bits(second.connectors), rtol=0, atol=0)


def test_it_may_be_called_again_and_keeps_the_connectors() -> None:
    distiller = prepared()
    connector, state = distiller.connectors["hint"], bits(distiller.connectors)
    expected = distiller.eval()(images()).loss
    count = hooks(distiller.student)
    distiller.prepare(images(3))
    assert distiller.connectors["hint"] is connector
    torch.testing.assert_close(bits(distiller.connectors), state, rtol=0, atol=0)
    assert distiller(images()).loss == expected
    assert hooks(distiller.student) == count == 1


def test_after_a_failed_one_another_may_succeed() -> None:
    distiller = Distiller(Net(4), Net(6), terms={"hint": hint("conv"), "mse": Term(nn.MSELoss(), student="conv")})
    with pytest.raises(StillroomError, match=r"^terms\.mse: the loss, or a connector before it, failed; got "):
        distiller.prepare(images())
    with pytest.raises(StillroomError, match="connectors are still to be inferred"):
        list(distiller.parameters())
    distiller = Distiller(Net(4), Net(6), terms={"hint": hint("conv")})
    with pytest.raises(
        StillroomError, match=r"^prepare: a teacher does not take these inputs; got RuntimeError: Given "
    ):
        distiller.prepare(torch.randn(4, 2, 4, 4))
    distiller.prepare(images())
    assert len(distiller.connectors) == 1


def test_terms_that_are_not_active_yet_are_checked_as_well() -> None:
    term = Term(L2(), student="norm", teacher="norm", weight=Between(1.0, start=5))
    distiller = Distiller(Net(4), Net(6), terms={"late": term})
    distiller(images())
    with pytest.raises(StillroomError, match=r"^terms\.late: student and teacher differ in shape"):
        distiller.prepare(images())


def test_a_term_whose_context_is_missing_is_left_out() -> None:
    class Labelled(Spy):
        def forward(self, student: Tensor, *, labels: Tensor) -> Tensor:
            return self.note(labels=labels)

    loss = Labelled()
    distiller = Distiller(Mlp(), terms={"task": Term(loss)})
    distiller.prepare(vectors())
    assert loss.calls == []
    distiller.prepare(vectors(), labels=3)
    assert loss.calls == [{"labels": 3}]


def test_a_term_whose_context_is_missing_although_there_is_some() -> None:
    class Labelled(Spy):
        def forward(self, student: Tensor, *, labels: Tensor, boxes: object = None) -> Tensor:
            return self.note(labels=labels, boxes=boxes)

    distiller = Distiller(Mlp(), terms={"task": Term(Labelled())})
    distiller.prepare(vectors(), boxes=None, index=torch.arange(4))  # nobody takes the index
    message = (
        "terms.task: Labelled needs the argument 'labels'. "
        "Pass it: distiller(inputs, labels=...); or record it: extra={'labels': site}."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller.prepare(vectors(), boxes=[])


def test_a_connector_that_fails_names_the_term() -> None:
    term = Term(L2(), student="norm", teacher="norm", connector=nn.Conv2d(7, 6, 1))
    distiller = Distiller(Net(4), Net(6), terms={"hint": term})
    message = "terms.hint: the loss, or a connector before it, failed; got RuntimeError: Given groups=1, weight of size"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}.*7 channels.* 4 channels"):
        distiller.prepare(images())


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            Term(L2(), teacher="norm", connector="auto"),
            'terms.hint.connector: connector "auto" cannot adapt these shapes; expected maps, vectors or equally many '
            "tokens on both sides, a map on one and a square of tokens on the other, or a map or tokens of the student "
            "and vectors of the teacher, got student (4, 5), teacher (4, 6, 2, 2). "
            "Choose other sites, or give a connector of your own: any nn.Module.",
        ),
        (
            Term(L2(), student=("norm", "conv"), teacher="norm", connector="auto"),
            'terms.hint: "auto" needs as many sites on both sides; got 2 of the student, 1 of the teacher.',
        ),
        (
            Term(nn.MSELoss(), student="conv:input@0", teacher="pair", connector="auto"),
            'terms.hint: "auto" needs tensors; got a Tensor of shape (4, 3, 4, 4) and a tuple of 2.',
        ),
    ],
)
def test_what_auto_cannot_adapt_names_the_term(term: Term, message: str) -> None:
    class Half(Net):
        def __init__(self) -> None:
            super().__init__(6)
            self.pool, self.pair = nn.MaxPool2d(2), Pair()

        def forward(self, x: Tensor) -> Tensor:
            self.pair(x)
            return super().forward(self.pool(x))

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Net(4), Half(), terms={"hint": term}).prepare(images())


@pytest.mark.parametrize("prepares", [True, False])
@pytest.mark.parametrize(("side", "site"), [("student", "student/"), ("teacher", "teacher/")])
def test_probabilities_where_logits_are_read(side: str, site: str, *, prepares: bool) -> None:
    """Found in the dry batch, or without one in the first."""
    models = {"student": Mlp(), "teacher": Mlp()}
    models[side] = nn.Sequential(models[side], nn.Softmax(1))
    distiller = Distiller(models["student"], models["teacher"])
    message = (
        f"terms.kl: the {side}'s value at {site!r} looks like probabilities; expected logits, before softmax, got rows "
        "that are non-negative and sum to 1. Take the softmax out of the model, or choose the site before it."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        (distiller.prepare if prepares else distiller)(vectors())


@pytest.mark.parametrize("who", ["the student", "a teacher"])
def test_a_model_that_does_not_take_the_inputs(who: str) -> None:
    models = [Mlp(), Mlp()]
    models[who == "a teacher"] = nn.Linear(3, 2)
    message = f"prepare: {who} does not take these inputs; got RuntimeError: "
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        Distiller(*models).prepare(vectors())


def test_probabilities_are_no_matter_elsewhere() -> None:
    student = nn.Sequential(Mlp(), nn.Softmax(1))
    Distiller(student, Mlp(), terms={"a": Term(L2()), "b": Term(KLDivergence(), student="0")}).prepare(vectors())


def test_release_takes_every_hook_off_until_it_is_prepared_again() -> None:
    distiller = prepared()
    student, teacher = distiller.student, distiller.teachers["teacher"].network
    expected = distiller.eval()(images()).loss
    assert (hooks(student), hooks(teacher)) == (1, 1)
    distiller.release()
    distiller.release()
    assert (hooks(student), hooks(teacher)) == (0, 0)
    message = "the distiller is not prepared. Call distiller.prepare(images) once, before making the optimizer."
    for call in (distiller, distiller.teach):
        with pytest.raises(StillroomError, match=quoted(message)):
            call(images())
    distiller.prepare(images())
    assert distiller(images()).loss == expected


def test_hooks_are_inert_outside_of_the_distiller() -> None:
    distiller = prepared()
    distiller.student(images())
    assert all(tap.calls == [] for tap in distiller._taps.values())
    distiller(images())
    assert all(tap.calls == [] for tap in distiller._taps.values())


def test_two_distillers_may_share_a_student() -> None:
    student, teacher = Net(4), Net(6)
    first, second = (Distiller(student, teacher, terms={"hint": hint()}) for _ in range(2))
    first.prepare(images())
    second.prepare(images())
    second.connectors.load_state_dict(first.connectors.state_dict())
    student.eval()
    assert first(images()).loss == second(images()).loss
    first.release()
    assert second(images()).loss > 0
    assert hooks(student) == 1


def test_a_site_that_is_overwritten_in_one_mode_only() -> None:
    class Moody(Mlp):
        def forward(self, x: Tensor) -> Tensor:
            feature = self.body(x)
            return self.head(feature.relu_() if self.training else feature.relu())

    student = Moody().eval()
    distiller = Distiller(student, Mlp(), terms={"hint": Term(L2(), student="body", teacher="body")})
    distiller.prepare(vectors())
    expected = distiller(vectors()).loss
    student.train()
    message = (
        "terms.hint.student: the recorded value was changed in place after the site. "
        "Call prepare() in the mode (train or eval) in which the model runs: the site is copied then."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())
    distiller.prepare(vectors())
    assert distiller(vectors()).loss == expected


def test_an_empty_batch_is_not_taken_for_probabilities() -> None:
    with pytest.raises(StillroomError, match=r"^terms\.kl: an empty input has no loss"):
        Distiller(Mlp(), Counted()).prepare(torch.empty(0, 6))
