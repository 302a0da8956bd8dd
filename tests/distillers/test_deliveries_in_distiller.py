"""What a distiller takes from the teacher's forward pass and puts into the student's."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable, Iterator

import delivery_nets
import pytest
import torch
from delivery_nets import FORMS, Cannot, Checkpointed, Drops, Straight, Takes, Uses, made
from distil_nets import vectors
from torch import Tensor, nn

from stillroom import (
    Between,
    Distiller,
    FunctionDelivery,
    FunctionOutputs,
    MethodDelivery,
    ModuleDelivery,
    StillroomError,
    Term,
)
from stillroom.deliveries import Delivery
from stillroom.losses import L2

WAYS: dict[str, Delivery] = {
    "function": FunctionDelivery("delivery_nets.draw"),
    "torch": FunctionDelivery("torch.rand"),
    "method": MethodDelivery("delivery_nets.Drops.draw_mask"),
    "module": ModuleDelivery("mask"),
}
each_way = pytest.mark.parametrize("way", WAYS)
PLACES = [(delivery_nets, "draw"), (Drops, "draw_mask"), (delivery_nets.Mask, "forward")]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    made.clear()
    before = [vars(owner)[name] for owner, name in PLACES]
    yield
    assert [vars(owner)[name] for owner, name in PLACES] == before
    assert torch._C._len_torch_function_stack() == 0


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def make(way: str = "function", *, times: int = 1, student_times: int | None = None, **options: object) -> Distiller:
    torch.manual_seed(0)
    student = Drops(4, way=way, times=times if student_times is None else student_times)
    options = {"terms": {"l2": Term(L2())}, "deliveries": {"mask": WAYS.get(way)}} | options
    return Distiller(student, Drops(7, way=way, times=times), **options)


def teacher_of(distiller: Distiller) -> Drops:
    return distiller.teachers["teacher"].network


# What is delivered


@each_way
@pytest.mark.parametrize("times", [1, 3])
def test_the_teachers_values_are_replayed_in_order(way: str, times: int) -> None:
    distiller = make(way, times=times)
    for _ in range(3):
        out = distiller(vectors())
        student, teacher = distiller.student.masks, teacher_of(distiller).masks
        assert len(student) == len(teacher) == times
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(student, teacher, strict=True))
        assert times == 1 or not torch.equal(student[0], student[1])
        out.loss.backward()
    distiller.student(vectors())
    assert not torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])


@each_way
def test_the_students_own_call_is_not_made_and_draws_nothing(way: str) -> None:
    distiller = make(way, times=2)
    taught = distiller.teach(vectors())
    made.clear()
    state = torch.get_rng_state()
    distiller(vectors(), taught=taught)
    assert torch.equal(torch.get_rng_state(), state)
    assert not made
    distiller.student(vectors())
    assert not torch.equal(torch.get_rng_state(), state)


@each_way
def test_what_is_handed_over_is_a_copy_without_gradient(way: str) -> None:
    distiller = make(way)
    distiller.student.overwrites = True
    taught = distiller.teach(vectors())
    (value,) = taught["deliveries/mask"]
    before = value.clone()
    for _ in range(2):
        distiller(vectors(), taught=taught)
        (mask,) = distiller.student.masks
        assert torch.equal(mask, before / 2) and mask is not value
        assert not value.requires_grad and not mask.requires_grad
        assert torch.equal(value, before)


def test_an_object_is_handed_over_as_a_copy_as_well() -> None:
    distiller = Distiller(Uses(), Uses(), deliveries={"held": FunctionDelivery("delivery_nets.draw_held")})
    distiller.prepare(vectors())
    taught = distiller.teach(vectors())
    ((value,),) = taught.values()
    before = value.mask.clone()
    for _ in range(2):
        distiller(vectors(), taught=taught)
        held = distiller.student.held
        assert (held.used, held.mask.requires_grad, value.used) == (1, False, 0)
        assert torch.equal(held.mask, before + 1) and torch.equal(value.mask, before)


def test_a_teacher_that_computes_gradients_delivers_none() -> None:
    delivery = FunctionDelivery("delivery_nets.draw_with_gradient")
    distiller = make("gradient", deliveries={"mask": delivery})
    for _ in range(2):
        assert not distiller.teach(vectors())["deliveries/mask"][0].requires_grad
        distiller(vectors()).loss.backward()
        assert teacher_of(distiller).masks[0].requires_grad and not distiller.student.masks[0].requires_grad


def test_a_student_need_not_be_able_to_do_what_is_delivered() -> None:
    distiller = make("module")
    distiller.student.mask = Cannot()
    distiller.prepare(vectors())
    assert distiller(vectors()).loss > 0
    with pytest.raises(NotImplementedError):
        distiller.student(vectors())


def test_what_the_teacher_overwrites_afterwards_is_delivered_as_it_was() -> None:
    distiller = make("function")
    teacher_of(distiller).overwrites = True
    for _ in range(3):
        distiller(vectors())
        assert torch.equal(distiller.student.masks[0], 2 * teacher_of(distiller).masks[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_part_is_delivered_and_the_rest_is_the_students_own(form: str) -> None:
    torch.manual_seed(0)
    items = FORMS[form][1]
    delivery = FunctionDelivery("delivery_nets.draw_both", items=items)
    distiller = Distiller(Takes(form), Takes(form), deliveries={"mask": delivery})
    distiller(vectors())
    assert made["draw_both"] == 2
    (mine, theirs) = (parts_of(model) for model in (distiller.student, teacher_of(distiller)))
    assert torch.equal(mine[0], theirs[0]) and not torch.equal(mine[1], theirs[1])


def parts_of(model: Takes) -> tuple[Tensor, Tensor]:
    parts = model.parts
    if isinstance(parts, tuple):
        return parts[0], parts[1]
    return (parts["mask"], parts["noise"]) if isinstance(parts, dict) else (parts.mask, parts.noise)


def test_a_recorder_of_the_same_function_sees_what_was_delivered() -> None:
    site = FunctionOutputs("delivery_nets.draw")
    distiller = make(terms={"same": Term(L2(), student=site, teacher=site)})
    for _ in range(2):
        assert distiller(vectors()).loss == 0
    without = make(terms={"same": Term(L2(), student=site, teacher=site)}, deliveries={})
    assert without(vectors()).loss > 0


def test_a_module_of_another_name() -> None:
    student = nn.Sequential(Drops(way="module"))
    distiller = Distiller(student, Drops(way="module"), deliveries={"m": ModuleDelivery("mask", student="0.mask")})
    distiller(vectors())
    assert torch.equal(student[0].masks[0], teacher_of(distiller).masks[0])


def test_several_at_once() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Drops(way="function"), Drops(way="torch")

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) + self.second(x)

    deliveries = {"function": WAYS["function"], "relu": FunctionDelivery("torch.nn.functional.relu")}
    distiller = Distiller(Two(), Two(), deliveries=deliveries)
    assert not distiller.terms
    distiller(vectors())
    assert torch.equal(distiller.student.first.masks[0], teacher_of(distiller).first.masks[0])
    assert not torch.equal(distiller.student.second.masks[0], teacher_of(distiller).second.masks[0])


def test_both_models_drop_the_same_features() -> None:
    """Shared randomness: with equal weights and equal masks nothing is left to learn."""
    for way in ("torch", "method"):
        student = Drops(way=way)
        teacher = copy.deepcopy(student)
        terms = {"l2": Term(L2())}
        assert Distiller(student, teacher, terms=terms)(vectors()).loss > 0
        assert Distiller(student, teacher, terms=terms, deliveries={"mask": WAYS[way]})(vectors()).loss == 0


# What was taught


@each_way
def test_what_was_taught_is_replayed_identically(way: str) -> None:
    distiller = make(way, times=2)
    live = distiller.teach(vectors())
    assert [tuple(value.shape) for value in live["deliveries/mask"]] == [(4, 6)] * 2
    first, second = (distiller(vectors(), taught=copy.deepcopy(live)) for _ in range(2))
    assert torch.equal(first.loss, second.loss) and torch.equal(first.output, second.output)


def test_what_was_taught_lacks_the_delivery() -> None:
    distiller = make()
    taught = distiller.teach(vectors())
    del taught["deliveries/mask"]
    message = (
        "deliveries.mask: nothing was taught for 'deliveries/mask'; got values of 'teacher/'. "
        "Pass what distiller.teach(*inputs) returns."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors(), taught=taught)


# When


@each_way
def test_it_stops_with_the_last_term(way: str) -> None:
    distiller = make(way, terms={"l2": Term(L2(), weight=Between(1.0, stop=1))})
    distiller(vectors())
    assert torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])
    distiller.at(epoch=1)
    assert distiller.teach(vectors()) == {}
    state = torch.get_rng_state()
    distiller(vectors())
    assert not torch.equal(torch.get_rng_state(), state)
    distiller.at(epoch=0)
    distiller(vectors())
    assert torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])


def test_without_terms_it_goes_on_for_ever() -> None:
    distiller = make(terms=None)
    distiller.at(epoch=100)
    out = distiller(vectors())
    assert (out.losses, out.loss.item()) == ({}, 0.0)
    assert torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])


@each_way
def test_the_student_alone_takes_nothing_over(way: str) -> None:
    distiller = make(way)
    distiller.prepare(vectors())
    distiller(vectors())
    before = distiller.student.masks[0]
    distiller.eval()
    for model in (distiller.student, copy.deepcopy(distiller.student)):
        with torch.no_grad():
            model(vectors())
        assert not torch.equal(model.masks[0], before)


# What is refused


@each_way
@pytest.mark.parametrize(("mine", "theirs"), [(3, 2), (1, 2), (0, 2)])
def test_another_number_of_calls(way: str, mine: int, theirs: int) -> None:
    distiller = make(way, times=theirs, student_times=mine)
    path = WAYS[way].path
    how, got = ("more", "call 3") if mine > theirs else ("less", f"{mine} call(s)")
    message = (
        f"deliveries.mask: the student calls {path!r} {how} often than the teacher; "
        f"expected 2 call(s), as the teacher, got {got}."
    )
    fix = distiller._couriers[0]._target.blind_spot if mine < theirs else ""
    for _ in range(2):
        with pytest.raises(StillroomError, match=quoted(f"{message} {fix}".rstrip())):
            distiller(vectors())
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        distiller.prepare(vectors())
    distiller.student.times = 2
    distiller(vectors())
    assert torch.equal(distiller.student.masks[1], teacher_of(distiller).masks[1])


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_call_that_the_backward_pass_would_make_again(reentrant: bool) -> None:
    x = vectors().requires_grad_()
    student, teacher = Checkpointed(reentrant=reentrant), Checkpointed(reentrant=reentrant)
    distiller = Distiller(student, teacher, deliveries={"mask": WAYS["function"]})
    message = (
        "deliveries.mask: the student calls 'delivery_nets.draw' in a checkpoint, which the backward pass runs again; "
        "got a delivery, which has ended by then. Do not checkpoint the part of the student that makes this call."
    )
    for call in (distiller.prepare, distiller):
        with pytest.raises(StillroomError, match=quoted(message)):
            call(x)
    plain = Distiller(Drops(), copy.deepcopy(teacher), deliveries={"mask": WAYS["function"]})
    plain(x)
    assert torch.equal(plain.student.masks[0], teacher_of(plain).masks[0])


@each_way
def test_a_teacher_that_never_calls_it(way: str) -> None:
    distiller = make(way, times=0, student_times=1)
    delivery = WAYS[way]
    message = (
        f"deliveries.mask: {delivery.recorder().noun} {delivery.path!r} was never called in the teacher's forward pass."
    )
    blind = distiller._couriers[0].tap.blind_spot
    with pytest.raises(StillroomError, match=quoted(f"{message} {blind}".rstrip())):
        distiller(vectors())


@each_way
def test_nothing_stale_survives_a_step_that_failed(way: str) -> None:
    distiller = make(way, times=2)
    body = distiller.student.body
    for broken in (distiller.student, teacher_of(distiller)):
        body, broken.body = broken.body, nn.Linear(9, 9)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            distiller(vectors())
        broken.body = body
        assert distiller._couriers[0].tap.calls == []
        distiller(vectors())
        assert torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])
        assert torch.equal(distiller.student.masks[1], teacher_of(distiller).masks[1])


def test_a_site_that_never_ran_is_told_although_something_is_delivered() -> None:
    student, teacher = Drops(way="module"), Drops(way="module")
    student.spare_head, student.mask = nn.Linear(1, 1), Cannot()
    terms = {"hint": Term(L2(), student="spare_head", teacher="head")}
    distiller = Distiller(student, teacher, terms=terms, deliveries={"mask": WAYS["module"]})
    message = "terms.hint.student: module 'spare_head' was never called in the forward pass. Did you mean 'head'?"
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


def test_a_part_that_is_not_there() -> None:
    delivery = FunctionDelivery("delivery_nets.draw_both", items=("masks",))
    distiller = Distiller(Takes("dict"), Takes("dict"), deliveries={"mask": delivery})
    message = (
        "deliveries.mask: the recorded value has no item [masks]; got a dict with mask, noise. Did you mean 'mask'?"
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())


def test_no_teacher() -> None:
    message = "deliveries.mask: a delivery comes from a teacher, and the distiller has none."
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Drops(), deliveries={"mask": WAYS["function"]})


def test_which_of_several_teachers() -> None:
    teachers = {"big": Drops(7), "small": Drops(4)}
    message = "deliveries.mask.teacher: which teacher? There are big, small."
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Drops(), teachers, deliveries={"mask": WAYS["function"]})
    message = "deliveries.mask.teacher: there is no teacher 'bog'. Did you mean 'big'?"
    with pytest.raises(StillroomError, match=quoted(message)):
        Distiller(Drops(), teachers, deliveries={"mask": FunctionDelivery("delivery_nets.draw", teacher="bog")})
    chosen = FunctionDelivery("delivery_nets.draw", teacher="small")
    distiller = Distiller(Drops(), teachers, terms={}, deliveries={"mask": chosen})
    distiller(vectors())
    assert torch.equal(distiller.student.masks[0], teachers["small"].masks[0])
    assert teachers["big"].masks == []


@pytest.mark.parametrize(
    ("delivery", "message"),
    [
        (FunctionDelivery("delivery_nets.drew"), "delivery_nets has no 'drew'. Did you mean 'draw' or 'made'?"),
        (
            MethodDelivery("delivery_nets.Drops.draw_task"),
            "Drops has no 'draw_task'. Did you mean 'draw_mask' or 'drawn'?",
        ),
        (ModuleDelivery("task"), "Drops has no module 'task'. Did you mean 'mask'?"),
        (ModuleDelivery("mask", student="task"), "Drops has no module 'task'. Did you mean 'mask'?"),
        (
            FunctionDelivery("builtins.len"),
            "builtins.len is one of Python's own functions, which everything calls. "
            "Wrap it in a function of your own and name that: def my_len(...).",
        ),
    ],
)
def test_a_path_that_leads_nowhere(delivery: Delivery, message: str) -> None:
    with pytest.raises(StillroomError, match=quoted(f"deliveries.there: {message}")):
        Distiller(Drops(), Drops(), deliveries={"there": delivery})


# Copies


def test_one_delivery_in_two_distillers() -> None:
    first, second = make(), make()
    for distiller in (first, second, first):
        distiller(vectors())
        assert torch.equal(distiller.student.masks[0], teacher_of(distiller).masks[0])
    assert first.deliveries["mask"] is second.deliveries["mask"]


@each_way
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("released", [False, True])
def test_a_copy_delivers_between_models_of_its_own(
    way: str, copied: Callable[[Distiller], Distiller], released: bool
) -> None:
    distiller = make(way)
    distiller(vectors())
    if released:
        distiller.release()
    other = copied(distiller)
    for each in (other, distiller):
        if released:
            each.prepare(vectors())
        each.student.masks, teacher_of(each).masks = [], []
    for each, idle in ((other, distiller), (distiller, None)):
        each(vectors())
        assert torch.equal(each.student.masks[0], teacher_of(each).masks[0])
        assert idle is None or idle.student.masks == [] == teacher_of(idle).masks


# Compiled


def losses(distiller: Distiller, model: nn.Module) -> list[Tensor]:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.05)
    found: list[Tensor] = []
    for step in range(4):
        torch.manual_seed(step)
        optimizer.zero_grad()
        out = model(vectors() + 0.1 * step)
        out.loss.backward()
        optimizer.step()
        found += [out.loss.detach(), out.output.detach(), torch.rand(())]
    return found


# What PyTorch's compiler does where it breaks the graph at a call that is intercepted.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@each_way
@pytest.mark.parametrize("whole", [True, False], ids=["the distiller", "the models"])
def test_compiled_equals_eager(way: str, whole: bool) -> None:
    backend = "aot_eager"  # what every real backend goes through
    torch._dynamo.reset()
    wanted = make(way, times=2)
    wanted.prepare(vectors())
    expected = losses(wanted, wanted)
    distiller = make(way, times=2)
    if not whole:
        student, teacher = (
            torch.compile(model, backend=backend) for model in (distiller.student, teacher_of(distiller))
        )
        distiller = Distiller(student, teacher, terms=distiller.terms, deliveries=distiller.deliveries)
    distiller.prepare(vectors())
    model = torch.compile(distiller, backend=backend) if whole else distiller
    torch.testing.assert_close(losses(distiller, model), expected, rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


def test_a_method_compiled_before_is_an_error() -> None:
    torch._dynamo.reset()
    student = torch.compile(Straight(), backend="eager")
    student(vectors())
    delivery = MethodDelivery("delivery_nets.Straight.draw_mask")
    distiller = Distiller(student, Straight(), deliveries={"mask": delivery})
    message = (
        "deliveries.mask: the student calls 'delivery_nets.Straight.draw_mask' less often than the teacher; expected 1 "
        "call(s), as the teacher, got 0 call(s). Calls of delivery_nets.Straight.draw_mask are seen, and none of an "
        "instance that has an attribute 'draw_mask' of its own, nor by code that was compiled before."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        distiller(vectors())
    torch._dynamo.reset()
