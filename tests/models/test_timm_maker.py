"""timm's models by name, with typed arguments and clear refusals; no test here reaches the network."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from subprocess import run

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from stillroom.errors import StillroomError
from stillroom.models import timm


def test_arguments_reach_the_model() -> None:
    net = timm("resnet10t", num_classes=3, in_chans=1, drop_rate=0.25, drop_path_rate=0.1)
    assert net(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert net.get_submodule("conv1.0").in_channels == 1
    assert net.drop_rate == 0.25
    assert any("DropPath" in type(module).__name__ for module in net.modules())


def test_models_without_stochastic_depth_work_as_long_as_none_is_asked_for() -> None:
    assert isinstance(timm("dla46_c", num_classes=2), nn.Module)
    with pytest.raises(StillroomError, match=r"dla46_c does not take these arguments; got .*'drop_path_rate': 0.1"):
        timm("dla46_c", drop_path_rate=0.1)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(StillroomError, match=r"timm has no model 'resnt18'\. Did you mean 'resnet18'"):
        timm("resnt18")


def test_an_unknown_tag_is_an_unknown_name() -> None:
    with pytest.raises(StillroomError, match=r"timm has no model 'resnet18\.nope'"):
        timm("resnet18.nope", pretrained=True)


def test_weights_that_cannot_be_had_are_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StillroomError, match=r"the weights of timm's resnet10t cannot be had; got .*pretrained=False"):
        timm("resnet10t", pretrained=True)
    with pytest.raises(StillroomError, match=f"timm's local-dir:{tmp_path} cannot be had"):
        timm(f"local-dir:{tmp_path}")


def test_a_recipe_can_check_its_arguments() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=nn.Module)
    wrong = {"class_path": "stillroom.models.timm", "init_args": {"name": "test_resnet", "num_clases": 2}}
    with pytest.raises(Exception, match="'num_clases' is not accepted"):
        parser.parse_object({"model": wrong})
    assert not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(timm).parameters.values())


def test_importing_the_room_imports_neither_timm_nor_torchvision() -> None:
    code = "import sys, stillroom.models; sys.exit(bool({'timm', 'torchvision', 'lightning'} & sys.modules.keys()))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
