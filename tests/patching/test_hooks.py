"""What is hooked is always unhooked."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from torch import nn

from stillroom.patching import Patches, drop_stand_ins, nothing
from stillroom.recorders import ModuleInputs, ModuleOutputs


class Logged(nn.Identity):
    """Notes what is done to it."""

    def __init__(self, log: list[str], name: str) -> None:
        super().__init__()
        self.log, self.name = log, name

    def register_forward_hook(self, hook: Callable[..., None]) -> Logged:
        self.log.append(f"+{self.name}")
        return self

    def remove(self) -> None:
        self.log.append(f"-{self.name}")


def hooks_of(module: nn.Module) -> list[object]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def test_hooks_come_off_in_reverse_order_and_once() -> None:
    log: list[str] = []
    patches = Patches()
    for name in "abc":
        patches.hook_outputs(Logged(log, name), nothing)
    patches.restore()
    patches.restore()
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_they_come_off_when_the_block_raises() -> None:
    module = nn.Identity()
    with pytest.raises(KeyError), Patches() as patches:
        patches.hook_outputs(module, nothing)
        patches.hook_inputs(module, nothing)
        assert len(hooks_of(module)) == 2
        raise KeyError
    assert hooks_of(module) == []


def test_a_copy_of_patches_holds_none() -> None:
    module = nn.Identity()
    patches = Patches()
    patches.hook_outputs(module, nothing)
    copy.deepcopy(patches).restore()
    pickle.loads(pickle.dumps(patches)).restore()
    assert len(hooks_of(module)) == 1


def test_a_copied_model_has_stand_ins_that_can_be_dropped() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    own = module[0].register_forward_hook(print)
    with Patches() as patches:
        ModuleOutputs("0").attach(module, patches)
        ModuleInputs("0").attach(module, patches)
        copied = copy.deepcopy(module)
        assert hooks_of(copied[0]) == [print, nothing, nothing]
        drop_stand_ins(copied)
        drop_stand_ins(module)
        assert len(hooks_of(module[0])) == 3
    assert hooks_of(copied[0]) == [print]
    assert not copied[0]._forward_pre_hooks_with_kwargs
    own.remove()
    assert hooks_of(module[0]) == []
