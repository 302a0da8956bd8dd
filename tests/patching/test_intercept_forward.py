"""One module's forward pass, and nobody else's."""

from __future__ import annotations

import pytest
from patched_things import Log
from torch import nn

from stillroom.patching import ForwardTarget


@pytest.mark.parametrize("own", [False, True], ids=["of the class", "of the instance"])
def test_one_module_alone_and_its_hooks_see_what_is_answered(own: bool) -> None:
    one, two, seen = nn.Identity(), nn.Identity(), []
    if own:
        one.forward = lambda x: x
    before = dict(vars(one))
    one.register_forward_hook(lambda _module, _args, output: seen.append(output))
    leave = ForwardTarget(one).enter(lambda proceed, args, _: (args, proceed()))
    assert (one(1), two(1)) == (((1,), 1), 1)
    leave()
    assert (one(2), seen) == (2, [((1,), 1), 2])
    assert vars(one) == before and ("forward" in vars(one)) is own


def test_several_on_one_module_found_before_and_in_between() -> None:
    module, logs = nn.Identity(), [Log(), Log(), Log()]
    first, second = ForwardTarget(module), ForwardTarget(module)
    leave = [first.enter(logs[0]), second.enter(logs[1])]
    meanwhile = ForwardTarget(module)
    leave.append(meanwhile.enter(logs[2]))
    module(1)
    while leave:
        leave.pop()()
    assert "forward" not in vars(module)
    leave = [meanwhile.enter(logs[2])]
    module(2)
    leave.pop()()
    assert [len(log.calls) for log in logs] == [1, 1, 2]
    assert "forward" not in vars(module)
    assert module(3) == 3
