"""Every site of a model."""

from __future__ import annotations

import pytest
import torch
from recorded_nets import Net, Several, Thrice, hooks, images

from stillroom.recorders import SiteInfo, list_sites


def test_every_module_with_what_it_returned() -> None:
    assert list_sites(Net(), images()) == [
        SiteInfo("", "Net", "(2, 5)", 1, 112 + 8 + 6 + 25),
        SiteInfo("conv", "Conv2d", "(2, 4, 4, 4)", 1, 112),
        SiteInfo("norm", "BatchNorm2d", "(2, 4, 4, 4)", 1, 8),
        SiteInfo("act", "ReLU", "(2, 4, 4, 4)", 1, 0),
        SiteInfo("unused", "Linear", None, 0, 6),
        SiteInfo("head", "Linear", "(2, 5)", 1, 25),
    ]


def test_calls_are_counted_and_other_outputs_described() -> None:
    assert [site.calls for site in list_sites(Thrice(), torch.randn(2, 4))] == [1, 3]
    assert list_sites(Several(), torch.randn(2, 4))[0].output == "a dict with logits, full"


@pytest.mark.parametrize("channels", [3, 7])
def test_the_model_is_as_before_also_when_it_raised(channels: int) -> None:
    model = Net()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        list_sites(model, torch.randn(2, channels, 4, 4))
    except RuntimeError:
        assert channels == 7
    assert hooks(model) == 0
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
