"""The gradient at a module's output equals what autograd gives."""

from __future__ import annotations

import re

import pytest
import torch
from recorded_nets import Net, Output, Several, Thrice, hooks, images
from torch import Tensor, nn
from torch.nn import functional as F

import stillroom as kd
from stillroom import Gradients, StillroomError

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_it_is_the_true_gradient_also_before_an_activation_in_place() -> None:
    model = Net().eval()
    with kd.record(model, norm=Gradients("norm"), act=Gradients("act"), whole=Gradients("")) as seen:
        output = model(images())
    (output**3).sum().backward()
    norm = model.norm(model.conv(images()))
    act = F.relu(norm)
    logits = model.head(act.mean((2, 3)))
    wanted = torch.autograd.grad((logits**3).sum(), [norm, act, logits])
    torch.testing.assert_close((seen["norm"], seen["act"], seen["whole"]), wanted)
    assert not torch.equal(seen["norm"], seen["act"])
    assert hooks(model) == 0


def test_in_place_through_a_view_of_the_output() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.body(x)
            y.flatten().relu_()
            return y

    model = Flat()
    with kd.record(model, body=Gradients("body")) as seen:
        (model(X) ** 2).sum().backward()
    y = model.body(X)
    (wanted,) = torch.autograd.grad((y.relu() ** 2).sum(), y)
    torch.testing.assert_close(seen["body"], wanted)


def test_it_can_be_differentiated_again() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    with kd.record(model, g=Gradients("0")) as seen:
        torch.autograd.grad((model(X) ** 2).sum(), model[0].weight, create_graph=True)
    seen["g"].square().sum().backward()
    h = model[0](X)
    (gradient,) = torch.autograd.grad((h.tanh() ** 2).sum(), h, create_graph=True)
    (wanted,) = torch.autograd.grad(gradient.square().sum(), model[0].weight)
    torch.testing.assert_close(model[0].weight.grad, wanted)


def test_of_several_backward_passes_it_is_the_last() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Identity())
    with kd.record(model, g=Gradients("0")) as seen:
        output = model(X)
    output.sum().backward(retain_graph=True)
    assert seen["g"].unique().tolist() == [1.0]
    (3 * output).sum().backward()
    assert seen["g"].unique().tolist() == [3.0]


def test_one_call_and_one_item_of_several() -> None:
    model = Thrice()
    with kd.record(model, first=Gradients("head", call=0), last=Gradients("head", call=-1)) as seen:
        model(X).sum().backward()
    torch.testing.assert_close(seen["last"], torch.ones(2, 4))
    torch.testing.assert_close(seen["first"], torch.ones(2, 4) @ model.head.weight @ model.head.weight)
    model = Several()
    sites = {"hidden": Gradients("", items=("full", "hidden", 1)), "logits": Gradients("", items=("full", 0))}
    with kd.record(model, **sites) as seen:
        output = model(X)["full"]
    assert isinstance(output, Output)
    (output.logits.sum() + 5 * output.hidden[1].sum()).backward()
    torch.testing.assert_close(seen["logits"], torch.ones(2, 2))
    torch.testing.assert_close(seen["hidden"], 5 + torch.ones(2, 2) @ model.head.weight)


# What is refused


def test_a_gradient_that_is_not_there_yet() -> None:
    model = Net()
    with kd.record(model, g=Gradients("conv")) as seen:
        model(images())
    message = (
        "g: the gradient at 'conv' is not there yet. Call backward() on a loss first. A view that is changed in place "
        "afterwards gets none."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["g"]


def test_a_view_that_is_changed_in_place_gets_none() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Flatten(0), nn.ReLU(inplace=True))
    with kd.record(model, g=Gradients("1")) as seen:
        model(X).sum().backward()
    with pytest.raises(StillroomError, match=r"A view that is changed in place afterwards gets none\.$"):
        seen["g"]


def test_no_gradient_flows() -> None:
    model = Net()
    with torch.no_grad(), kd.record(model, g=Gradients("conv")) as seen:
        model(images())
    message = "g: no gradient flows to the output of 'conv'. It was made without one."
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["g"]


def test_an_output_that_is_no_tensor() -> None:
    model = nn.Sequential(Several())
    message = "0: a gradient belongs to a tensor; got a dict with logits, full."
    with pytest.raises(StillroomError, match=quoted(message)), kd.record(model, g=Gradients("0")):
        model(X)
    assert hooks(model) == 0


def test_a_module_that_did_not_run_or_does_not_exist() -> None:
    model = Net()
    with kd.record(model, g=Gradients("unused")) as seen:
        model(images())
    with pytest.raises(StillroomError, match=quoted("g: module 'unused' was never called in the forward pass.")):
        seen["g"]
    with (
        pytest.raises(StillroomError, match=quoted("g: Net has no module 'cnv'. Did you mean 'conv'?")),
        kd.record(model, g=Gradients("cnv")),
    ):
        pass


def test_a_loss_cannot_use_one() -> None:
    message = (
        "student: a gradient is there after the backward pass, and a loss is computed before; got Gradients(conv). "
        "Record it on its own: with kd.record(model, name=Gradients(...))."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        kd.Term(kd.losses.L2(), student=Gradients("conv"))
