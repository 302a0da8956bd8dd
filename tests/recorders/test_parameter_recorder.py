"""Parameters are read as they are, and trained by a loss on them."""

from __future__ import annotations

import re

import pytest
import torch
from recorded_nets import Net, images
from torch import nn

import stillroom as kd
from stillroom import Parameter, StillroomError


def test_the_parameter_itself() -> None:
    model = Net()
    with kd.record(model, w=Parameter("conv.weight"), b=Parameter("norm.bias")) as seen:
        model(images())
    assert seen["w"] is model.conv.weight and seen["b"] is model.norm.bias


def test_it_needs_no_forward_pass_and_knows_compiled_models() -> None:
    model = Net()
    with kd.record(torch.compile(model, backend="eager"), w=Parameter("conv.weight")) as seen:
        pass
    assert seen["w"] is model.conv.weight


def test_a_parameter_of_the_model_itself_and_one_with_two_names() -> None:
    model = nn.Linear(2, 3)
    model.inner = nn.Linear(2, 3)
    model.inner.weight = model.weight
    with kd.record(model, a=Parameter("weight"), b=Parameter("inner.weight")) as seen:
        pass
    assert seen["a"] is seen["b"] is model.weight


def test_one_that_is_put_in_its_place_later_is_read() -> None:
    model = Net()
    distiller = kd.Distiller(model, terms={"small": kd.Term(Size(), student=Parameter("conv.weight"))})
    model.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()}, assign=True)
    assert distiller(images()).loss == 0
    model.conv.weight = nn.Parameter(torch.ones(4, 3, 3, 3))
    distiller(images()).loss.backward()
    assert model.conv.weight.grad.unique().tolist() == [2.0]


class Size(nn.Module):
    """The squared norm."""

    def forward(self, student: torch.Tensor) -> torch.Tensor:
        return student.square().sum()


def test_a_name_that_is_none() -> None:
    message = "w: Net has no parameter 'conv.wait'. Did you mean 'conv.weight' or 'conv.bias' or 'norm.weight'?"
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"), kd.record(Net(), w=Parameter("conv.wait")):
        pass
    with (
        pytest.raises(StillroomError, match=r"^w: Net has no parameter 'norm\.running_mean'"),
        kd.record(Net(), w=Parameter("norm.running_mean")),
    ):
        pass
