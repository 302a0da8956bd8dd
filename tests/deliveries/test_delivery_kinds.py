"""Each kind of delivery: what it records of the teacher, and what it replaces in the student."""

from __future__ import annotations

import pickle
import re

import pytest
import torch
from delivered_nets import Draws, draw

import stillroom as kd
from stillroom import FunctionDelivery, MethodDelivery, ModuleDelivery, StillroomError
from stillroom.deliveries import Delivery

KINDS = [
    FunctionDelivery("delivered_nets.draw"),
    MethodDelivery("delivered_nets.Draws.mask"),
    ModuleDelivery("noise"),
]
X = torch.zeros(2, 3)


@pytest.mark.parametrize("delivery", KINDS)
def test_what_is_recorded_of_one_model_replaces_the_call_of_another(delivery: Delivery) -> None:
    teacher, student, asked = Draws(), Draws(), []
    with kd.record(teacher, given=delivery.recorder()) as seen:
        teacher(X)
    assert seen["given"].shape == (2, 3)
    target = delivery.target(student)
    leave = target.enter(lambda _proceed, args, _kwargs: asked.append(args) or 1000 * torch.ones(2, 3))
    assert (student(X) >= 1000).all() and len(asked) == 1 and asked[0][0] is X
    leave()
    assert (student(X) <= 3).all() and len(asked) == 1


def test_torchs_own_functions_are_delivered_wherever_they_are_called() -> None:
    student = Draws()
    leave = FunctionDelivery("torch.rand").target(student).enter(lambda *_: torch.ones(2, 3))
    assert student(X).tolist() == [[3.0] * 3] * 2
    leave()


def test_a_module_of_another_name_in_the_student_and_no_other_module() -> None:
    student, other = torch.nn.Sequential(Draws()), Draws()
    target = ModuleDelivery("noise", student="0.noise").target(student)
    leave = target.enter(lambda *_: torch.ones(2, 3))
    assert student[0].noise(X).tolist() == [[1.0] * 3] * 2
    assert (other.noise(X) < 1).all()
    leave()


@pytest.mark.parametrize("delivery", KINDS)
def test_a_delivery_is_a_value(delivery: Delivery) -> None:
    assert pickle.loads(pickle.dumps(delivery)) == delivery
    assert len({delivery, pickle.loads(pickle.dumps(delivery))}) == 1


@pytest.mark.parametrize(
    ("delivery", "message"),
    [
        (FunctionDelivery("delivered_nets.drew"), "delivered_nets has no 'drew'. Did you mean 'draw' or 'Draws'?"),
        (MethodDelivery("delivered_nets.Draws.task"), "Draws has no 'task'. Did you mean 'mask' or 'mtia'?"),
        (ModuleDelivery("noise", student="nose"), "Draws has no module 'nose'. Did you mean 'noise'?"),
    ],
)
def test_a_path_that_leads_nowhere(delivery: Delivery, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        delivery.target(Draws())
    assert draw(X).shape == (2, 3)
