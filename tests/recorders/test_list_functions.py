"""Every function of PyTorch that a model calls."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import stillroom as kd
from stillroom.recorders import FunctionInfo, list_functions


class Uses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = nn.Linear(4, 4), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.body(x)) + 1
        return F.relu(h + torch.rand(4)).sum()


def test_paths_that_can_be_recorded_with_their_number_of_calls() -> None:
    model, x = Uses(), torch.randn(2, 4)
    found = list_functions(torch.compile(model, backend="eager"), x)
    assert [info for info in found if not info.path.endswith("__get__")] == [
        FunctionInfo("torch.nn.functional.linear", 1),
        FunctionInfo("torch.nn.functional.dropout", 1),
        FunctionInfo("torch.Tensor.add", 2),
        FunctionInfo("torch.rand", 1),
        FunctionInfo("torch.nn.functional.relu", 1),
        FunctionInfo("torch.Tensor.sum", 1),
    ]
    sites = {f"site{index}": kd.FunctionOutputs(info.path, call=-1) for index, info in enumerate(found)}
    with kd.record(model, **sites) as seen:
        model(x)
    assert all(isinstance(seen[name], Tensor) for name in sites)


@pytest.mark.parametrize("width", [4, 7])
def test_modes_are_as_before_and_nothing_listens_afterwards(width: int) -> None:
    model = Uses()
    model.drop.eval()
    try:
        list_functions(model, torch.randn(2, width))
    except RuntimeError:
        assert width == 7
    assert [module.training for module in model.modules()] == [True, True, False]
    assert torch._C._len_torch_function_stack() == 0
