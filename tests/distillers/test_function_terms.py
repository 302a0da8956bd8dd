"""Terms on functions, methods and parameters."""

from __future__ import annotations

import copy
import gc
import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import distil_processes
import function_nets
import pytest
import torch
from distil_nets import vectors
from function_nets import ReadsInput, Steps, Tanh, Worded
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import (
    Distiller,
    FunctionInputs,
    FunctionOutputs,
    MethodInputs,
    MethodOutputs,
    Parameter,
    StillroomError,
    Teacher,
    Term,
)
from stillroom.losses import L2
from stillroom.recorders import Recorder, Site

SITES: dict[str, Recorder] = {
    "scale": FunctionOutputs("function_nets.scale"),
    "given": FunctionInputs("function_nets.scale", items=("x",)),
    "softplus": FunctionOutputs("torch.nn.functional.softplus"),
    "method": MethodOutputs("function_nets.Tanh.apply"),
}
each_site = pytest.mark.parametrize("name", SITES)


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    before = function_nets.scale, vars(Tanh)["apply"]
    yield
    assert (function_nets.scale, vars(Tanh)["apply"]) == before
    assert torch._C._len_torch_function_stack() == 0


def make(names: list[str], width: int = 4) -> Distiller:
    torch.manual_seed(0)
    terms = {name: Term(L2(), student=SITES[name], teacher=SITES[name]) for name in names}
    distiller = Distiller(Steps(width), Steps(width), terms=terms)
    distiller.prepare(vectors())
    return distiller


def expected(distiller: Distiller, x: Tensor) -> dict[str, Tensor]:
    teacher = distiller.teachers["teacher"].network
    with torch.no_grad():
        wanted = teacher.hidden(x)
    found = distiller.student.hidden(x)
    return {name: F.mse_loss(found[name], wanted[name]) for name in distiller.terms}


# Values


def test_losses_and_gradients_equal_those_written_out_in_every_step() -> None:
    distiller = make(list(SITES))
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    weight = distiller.student.body.weight
    for step in range(4):
        x = vectors() + 0.1 * step
        wanted = expected(distiller, x)
        out = distiller(x)
        torch.testing.assert_close(out.losses, wanted)
        optimizer.zero_grad()
        out.loss.backward()
        torch.testing.assert_close(weight.grad, torch.autograd.grad(sum(wanted.values()), weight)[0])
        optimizer.step()


def test_a_connector_is_inferred_between_functions() -> None:
    terms = {"hint": Term(L2(), student=SITES["scale"], teacher=SITES["scale"], connector="auto")}
    distiller = Distiller(Steps(4), Steps(7), terms=terms)
    distiller.prepare(vectors())
    distiller(vectors()).loss.backward()
    assert distiller.connectors["hint"].linear.weight.shape == (7, 4)
    assert distiller.student.body.weight.grad.any()


def test_a_loss_on_a_parameter_trains_it() -> None:
    student, teacher = Steps(), Steps()
    terms = {"w": Term(L2(), student=Parameter("body.weight"), teacher=Parameter("body.weight"))}
    distiller = Distiller(student, teacher, terms=terms)
    optimizer = torch.optim.SGD(student.parameters(), lr=10.0)
    for _ in range(5):
        before = student.body.weight.detach().clone()
        out = distiller(vectors())
        torch.testing.assert_close(out.loss, F.mse_loss(before, teacher.body.weight))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        assert not torch.equal(student.body.weight, before)
    assert F.mse_loss(student.body.weight, teacher.body.weight) < 0.1 * F.mse_loss(before + 1, before)


def test_models_called_with_a_mapping() -> None:
    batch = {"x": vectors(), "mask": torch.ones(4, 1)}
    student, teacher = Worded(), Worded()
    distiller = Distiller(student, teacher, terms={"f": Term(L2(), student=SITES["method"], teacher=SITES["scale"])})
    for _ in range(3):
        wanted = F.mse_loss(student.hidden(vectors())["method"], teacher.hidden(vectors())["scale"])
        torch.testing.assert_close(distiller(batch).loss, wanted)


def test_autocast() -> None:
    distiller = make(list(SITES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            out = distiller(vectors())
            torch.testing.assert_close(out.losses, expected(distiller, vectors()))
        found = distiller.teach(vectors())
    assert found["teacher/FunctionOutputs(function_nets.scale)"].dtype == torch.bfloat16
    out.loss.backward()
    assert distiller.student.body.weight.grad.dtype == torch.float32


def test_what_was_taught_is_replayed() -> None:
    distiller = make(list(SITES))
    taught = distiller.teach(vectors())
    assert torch.equal(distiller(vectors(), taught=taught).loss, distiller(vectors()).loss)
    assert set(taught) == {f"teacher/{site}" for site in SITES.values()}


class Third(nn.Module):
    """A loss with a further value."""

    def forward(self, student: Tensor, teacher: Tensor, third: Tensor) -> Tensor:
        return (student - teacher).square().mean() + third.square().sum()


def test_a_further_value_of_a_function_says_whose_it_is() -> None:
    student, teacher = Steps(), Steps()
    distiller = Distiller(
        student, teacher, terms={"t": Term(Third(), extra={"third": Site(SITES["scale"], "student")})}
    )
    wanted = F.mse_loss(student(vectors()), teacher(vectors())) + student.hidden(vectors())["scale"].square().sum()
    torch.testing.assert_close(distiller(vectors()).loss, wanted)
    message = (
        'extra.third: an extra value must say which model it comes from; expected "student/..." or '
        "a teacher's name in front (\"teacher/...\" where there is one), got 'FunctionOutputs(function_nets.scale)'. "
        'Site(recorder, "student") says it of a recorder.'
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        Term(Third(), extra={"third": SITES["scale"]})


# In place


def test_an_input_that_the_student_overwrites_is_an_error_where_the_teachers_value_is_that_input() -> None:
    terms = {"l2": Term(L2(), student="act", teacher="act:input")}
    fine = Distiller(ReadsInput(inplace=False), ReadsInput(inplace=False), terms=terms)
    for distiller in (fine, Distiller(ReadsInput(inplace=True), ReadsInput(inplace=False), terms=terms)):
        distiller.prepare(vectors())
        if distiller is fine:
            wanted = F.mse_loss(vectors().relu(), vectors())
            torch.testing.assert_close([fine(vectors()).loss for _ in range(3)], [wanted] * 3)
    message = (
        "the model that runs after it changes the input in place, of which 'teacher/act:input' is a part. "
        "Let its first operation be one that is not in place."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())
    harmless = Distiller(ReadsInput(inplace=True), ReadsInput(inplace=False), terms={"l2": Term(L2())})
    assert harmless(vectors()).loss > 0 and harmless(vectors()).loss > 0


# Nothing is pinned


class Watched(Steps):
    """Keeps weak references to what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.body.register_forward_hook(lambda _module, _args, output: self.seen.append(weakref.ref(output)))
        self.seen: list[weakref.ref[Tensor]] = []

    def pinned(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.seen)


def train(distiller: Distiller) -> None:
    distiller(vectors()).loss.backward()


def validate(distiller: Distiller) -> None:
    train(distiller)
    distiller.eval()
    with torch.no_grad():
        distiller.student(vectors())


def fail(distiller: Distiller) -> None:
    for model in (distiller.student, distiller.teachers["teacher"].network):
        distiller.prepare(vectors())  # so that the next pass of the teacher is a whole one
        model.fails = True
        with pytest.raises(ZeroDivisionError):
            distiller(vectors())
        model.fails = False


@pytest.fixture
def own_garbage() -> Iterator[None]:
    """A search for garbage passes over what was there before, which is all of PyTorch and other tests' remains."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.parametrize("use", [train, validate, fail])
@pytest.mark.parametrize("site", [*SITES, "body"])
def test_no_activation_outlives_the_step(use: Callable[[Distiller], None], site: str) -> None:
    student, teacher = Watched(), Watched()
    where = SITES.get(site, site)
    distiller = Distiller(student, teacher, terms={"l2": Term(L2(), student=where, teacher=where)})
    for _ in range(3):
        use(distiller)
    assert len(student.seen) >= 3 and len(teacher.seen) >= 3
    assert student.pinned() == teacher.pinned() == 0
    assert [tap.calls for tap in distiller._taps.values()] == [[], []]
    assert [tap._watched for tap in distiller._taps.values()] == [[], []]


# Copies


def test_copies_record_their_own() -> None:
    distiller = make(list(SITES))
    other = copy.deepcopy(distiller)
    with torch.no_grad():
        other.student.body.weight.zero_()
    for each in (other, distiller, other):
        torch.testing.assert_close(each(vectors()).losses, expected(each, vectors()))


# What is refused


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (
            FunctionOutputs("function_nets.skale"),
            "terms.t.student: function_nets has no 'skale'. Did you mean 'scale'?",
        ),
        (
            MethodInputs("function_nets.Tanh.aply"),
            "terms.t.student: Tanh has no 'aply'. Did you mean 'apply'?",
        ),
        (
            Parameter("body.waight"),
            "terms.t.student: Steps has no parameter 'body.waight'. Did you mean 'body.weight' or 'head.weight' or "
            "'body.bias'?",
        ),
    ],
)
def test_a_path_that_leads_nowhere_names_the_term(site: Recorder, message: str) -> None:
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Steps(), Steps(), terms={"t": Term(L2(), student=site)})


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (
            FunctionOutputs("function_nets.unused"),
            "terms.t.student: function 'function_nets.unused' was never called in the forward pass. Calls through "
            "function_nets.unused are seen, and none by a list, a closure or a default that holds the function.",
        ),
        (
            FunctionOutputs("torch.nn.functional.relu"),
            "terms.t.student: function 'torch.nn.functional.relu' was never called in the forward pass. What PyTorch "
            "calls inside its own functions is not seen, nor is TorchScript. stillroom.recorders.list_calls(model, "
            "x) tells what is, also of operators (+ is torch.Tensor.add). Did you mean "
            "'torch.nn.functional.softplus' or 'torch.nn.functional.linear' or 'torch.Tensor.relu_'?",
        ),
    ],
)
def test_a_function_that_was_not_called_names_the_term_and_what_was(site: Recorder, message: str) -> None:
    distiller = Distiller(Steps(), Steps(), terms={"t": Term(L2(), student=site)})
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


# Teachers with a transform


def test_a_teacher_with_a_transform() -> None:
    student, teacher = Steps(), Steps()
    terms = {"f": Term(L2(), student=SITES["scale"], teacher=SITES["scale"])}
    distiller = Distiller(student, {"big": Teacher(teacher, transform=lambda x: x + 1)}, terms=terms)
    for _ in range(2):
        wanted = F.mse_loss(student.hidden(vectors())["scale"], teacher.hidden(vectors() + 1)["scale"])
        torch.testing.assert_close(distiller(vectors()).loss, wanted)


# Compiled


def losses(distiller: Distiller, model: nn.Module) -> list[Tensor]:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    found: list[Tensor] = []
    for step in range(4):
        optimizer.zero_grad()
        out = model(vectors() + 0.1 * step)
        out.loss.backward()
        optimizer.step()
        found += [out.loss.detach(), *(loss.detach() for loss in out.losses.values())]
    return found


# What PyTorch's compiler does where it breaks the graph at a call that is intercepted.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize(
    ("how", "name"),
    [
        *((how, name) for how in ("the distiller", "the models") for name in (*SITES, "parameter")),
        *(("the models, run before", name) for name in (*SITES, "parameter") if name != "method"),
    ],
)
def test_compiled_equals_eager(name: str, how: str) -> None:
    backend = "aot_eager"  # what every real backend goes through
    torch._dynamo.reset()
    site = SITES.get(name, Parameter("body.weight"))
    terms = {"t": Term(L2(), student=site, teacher=site)}
    torch.manual_seed(0)
    student, teacher = Steps(), Steps()
    by_hand = Distiller(copy.deepcopy(student), copy.deepcopy(teacher), terms=terms)
    if how == "the distiller":
        distiller = Distiller(student, teacher, terms=terms)
        distiller.prepare(vectors())
        model: nn.Module = torch.compile(distiller, backend=backend)
    else:
        compiled = [torch.compile(each, backend=backend) for each in (student, teacher)]
        if "before" in how:
            for each in compiled:
                each(vectors())
        model = distiller = Distiller(*compiled, terms=terms)
        distiller.prepare(vectors())
    torch.testing.assert_close(losses(distiller, model), losses(by_hand, by_hand), rtol=1e-5, atol=1e-6)
    alone = distiller.student(vectors())
    torch.testing.assert_close(alone, by_hand.student(vectors()), rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


def test_a_method_in_a_model_that_was_compiled_and_run_before_is_an_error() -> None:
    torch._dynamo.reset()
    student = torch.compile(Steps(), backend="eager")
    student(vectors())
    terms = {"t": Term(L2(), student=SITES["method"], teacher=SITES["method"])}
    distiller = Distiller(student, Steps(), terms=terms)
    message = (
        "terms.t.student: method 'function_nets.Tanh.apply' was never called in the forward pass. Calls of "
        "function_nets.Tanh.apply are seen, and none of an instance that has an attribute 'apply' of its own, nor by "
        "code that was compiled before."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("name", "one"), [("softplus", True), ("parameter", True), ("scale", False), ("method", False)]
)
def test_which_sites_allow_one_graph(name: str, one: bool) -> None:
    torch._dynamo.reset()
    site = SITES.get(name, Parameter("body.weight"))
    distiller = Distiller(Steps(), Steps(), terms={"t": Term(L2(), student=site, teacher=site)})
    distiller.prepare(vectors())
    wanted = distiller(vectors()).loss
    compiled = torch.compile(distiller, backend="eager", fullgraph=True)
    if one:
        torch.testing.assert_close(compiled(vectors()).loss, wanted)
    else:
        with pytest.raises(torch._dynamo.exc.Unsupported):
            compiled(vectors())
    torch._dynamo.reset()


# Two processes


def test_two_processes_equal_one(tmp_path: Path) -> None:
    wanted = distil_processes.in_one(function_nets.make)
    assert wanted["gradient of student.body.weight"].any()
    for found in distil_processes.in_two(tmp_path, function_nets.make):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
