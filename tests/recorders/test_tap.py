"""The hook behind a recorder: by reference where nothing changes the value, a copy where something does."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch
from recorded_nets import Net, images
from torch import Tensor, nn

from stillroom import ModuleInputs, ModuleOutputs, StillroomError
from stillroom.patching import Patches
from stillroom.recorders import Tap


class Echo(nn.Module):
    """Overwrites its layer's output when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.overwrites = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y.relu_() if self.overwrites else y.relu()


def run(tap: Tap, model: nn.Module, x: Tensor) -> Tensor:
    tap.open()
    model(x)
    (value,) = tap.close()
    return value


def test_a_value_that_stays_is_read_by_reference_from_the_second_run_on() -> None:
    model, x = Echo(), torch.randn(4)
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        first, second = run(tap, model, x), run(tap, model, x)
    assert first is not x and torch.equal(first, x)
    assert second is x


def test_a_value_that_is_overwritten_is_always_copied() -> None:
    model = Echo()
    model.overwrites = True
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        for _ in range(3):
            x = torch.tensor([-1.0, 2.0])
            assert run(tap, model, x).tolist() == [-1.0, 2.0]
            assert x.tolist() == [0.0, 2.0]


def test_a_value_that_is_overwritten_later_than_in_the_first_run_is_an_error_once() -> None:
    model = Echo()
    message = (
        "the recorded value was changed in place after the site. "
        "Call prepare() in the mode (train or eval) in which the model runs: the site is copied then."
    )
    with Patches() as patches:
        tap = ModuleOutputs("layer").attach(model, patches)
        run(tap, model, torch.randn(4))
        model.overwrites = True
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
            run(tap, model, torch.randn(4))
        assert run(tap, model, torch.tensor([-1.0, 2.0])).tolist() == [-1.0, 2.0]


def test_inputs_are_watched_as_well() -> None:
    model, x = Net(), images()
    with Patches() as patches:
        tap = ModuleInputs("act").attach(model, patches)
        for _ in range(2):
            assert (run(tap, model, x) < 0).any()


def test_inference_mode_is_no_hindrance() -> None:
    model, x = Net(), images()
    with Patches() as patches, torch.inference_mode():
        tap = ModuleOutputs("norm").attach(model, patches)
        for _ in range(2):
            assert (run(tap, model, x) < 0).any()


def test_a_closed_tap_holds_nothing() -> None:
    model = Net()
    with Patches() as patches:
        tap = ModuleOutputs("conv").attach(model, patches)
        model(images())
        assert tap.calls == []
        tap.open()
        model(images())
        tap.forget()
        assert tap.calls == []
        tap.open()
        assert tap.close() == []


def test_a_copy_of_a_hooked_model_records_nothing() -> None:
    model, x = Net().eval(), images()
    with Patches() as patches:
        taps = [ModuleOutputs("conv").attach(model, patches), ModuleInputs("act").attach(model, patches)]
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            for tap in taps:
                tap.open()
            torch.testing.assert_close(other(x), model(x))
            assert [len(tap.close()) for tap in taps] == [1, 1]
