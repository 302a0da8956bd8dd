"""Weight decay on weights, and on nothing else."""

from __future__ import annotations

import torch
from torch import nn

from stillroom.algorithms import SparedSGD
from stillroom.models import SmallCNN


def test_biases_and_norms_do_not_decay() -> None:
    torch.manual_seed(0)
    model = SmallCNN(num_classes=10, width=4)
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = SparedSGD(model.parameters(), lr=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in model.named_parameters():
        factor = 0.95 if value.dim() > 1 else 1.0
        torch.testing.assert_close(value, factor * before[name])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before)


def test_without_decay_it_is_that_of_torch() -> None:
    def trained(make):
        torch.manual_seed(0)
        model, images = SmallCNN(num_classes=10, width=4), torch.randn(8, 1, 8, 8)
        optimizer = make(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for _ in range(3):
            optimizer.zero_grad()
            model(images).square().mean().backward()
            optimizer.step()
        return torch.cat([value.flatten() for value in model.state_dict().values()])

    assert torch.equal(trained(SparedSGD), trained(torch.optim.SGD))


def test_one_kind_of_parameters_is_enough() -> None:
    assert len(SparedSGD([nn.Parameter(torch.zeros(2, 2))], lr=0.1).param_groups) == 1
    assert SparedSGD([nn.Parameter(torch.zeros(2))], lr=0.1, weight_decay=1.0).param_groups[0]["weight_decay"] == 0
