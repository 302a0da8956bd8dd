"""Copies, pickles and files of distillers and of hooked students."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from distil_nets import Mlp, Net, bits, hint, hooks, images, prepared, vectors

from stillroom import Distiller, StillroomError
from stillroom.patching import drop_stand_ins

COPIES = [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))]
each_copy = pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle"])


def step(distiller: Distiller) -> None:
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller(images()).loss.backward()
    optimizer.step()


@each_copy
def test_a_copy_works_and_is_independent(copied: Callable[[Distiller], Distiller]) -> None:
    distiller = prepared().eval()
    distiller.at(epoch=3, step=7)
    other = copied(distiller)
    expected, before = distiller(images()).loss.item(), bits(distiller)
    assert other(images()).loss.item() == expected
    assert (other.epoch, other.step) == (3, 7)
    step(other)
    assert other(images()).loss.item() != expected
    assert distiller(images()).loss.item() == expected
    torch.testing.assert_close(bits(distiller), before, rtol=0, atol=0)
    assert hooks(other.student) == hooks(distiller.student) == 1
    theirs = {parameter.data_ptr() for parameter in other.teachers["teacher"].network.parameters()}
    assert not theirs & {parameter.data_ptr() for parameter in distiller.teachers["teacher"].network.parameters()}


@each_copy
def test_the_teacher_of_a_copy_is_frozen_too(copied: Callable[[Distiller], Distiller]) -> None:
    other = copied(prepared())
    assert not any(name.startswith("teachers") for name in other.state_dict())
    other.teachers["teacher"].network.train()
    with pytest.raises(
        StillroomError, match=r"^teacher: the teacher was put into train mode \(Net\.training is True\)"
    ):
        other(images())


@each_copy
def test_a_copy_of_one_that_is_not_prepared(copied: Callable[[Distiller], Distiller]) -> None:
    other = copied(Distiller(Net(4), Net(6), terms={"hint": hint()}))
    with pytest.raises(StillroomError, match=r"^the distiller is not prepared"):
        other.teach(images())
    other.prepare(images())
    assert other(images()).loss > 0
    assert hooks(other.student) == 1


@each_copy
def test_a_copy_of_one_that_was_released_has_no_hooks(copied: Callable[[Distiller], Distiller]) -> None:
    distiller = prepared()
    distiller.release()
    other = copied(distiller)
    assert hooks(other.student) == hooks(other.teachers["teacher"].network) == 0
    with pytest.raises(StillroomError, match=r"^the distiller is not prepared"):
        other(images())


@each_copy
def test_a_copied_student_takes_no_recorder_along(copied: Callable[[Net], Net]) -> None:
    distiller = prepared().eval()
    student = copied(distiller.student)
    assert torch.equal(student(images()), distiller.student(images()))
    drop_stand_ins(student)
    assert hooks(student) == 0
    assert distiller(images()).loss > 0


def test_a_copied_student_may_be_distilled_again() -> None:
    first = prepared()
    second = prepared(copy.deepcopy(first.student), copy.deepcopy(first.teachers["teacher"].network))
    second.connectors.load_state_dict(first.connectors.state_dict())
    assert hooks(second.student) == 1
    assert second.eval()(images()).loss == first.eval()(images()).loss


def test_a_student_is_saved_whole_and_as_weights() -> None:
    student = prepared().student.eval()
    whole, weights = io.BytesIO(), io.BytesIO()
    torch.save(student, whole)
    torch.save(student.state_dict(), weights)
    whole.seek(0)
    weights.seek(0)
    fresh = Net(4).eval()
    fresh.load_state_dict(torch.load(weights))
    assert torch.equal(torch.load(whole, weights_only=False)(images()), student(images()))
    assert torch.equal(fresh(images()), student(images()))


def test_an_average_of_the_student_is_no_part_of_the_distiller() -> None:
    student = Mlp(4)
    distiller = Distiller(student, Mlp(7))
    average = torch.optim.swa_utils.AveragedModel(student)
    step_parameters = list(distiller.parameters())
    distiller(vectors()).loss.backward()
    torch.optim.SGD(step_parameters, lr=1.0).step()
    average.update_parameters(student)
    assert torch.equal(average.module.head.weight, student.head.weight)
