"""record(): recorders on their own."""

from __future__ import annotations

import re

import pytest
import torch
from recorded_nets import Caller, Net, Several, Skip, Thrice, hooks, images
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import stillroom as kd
from stillroom import ModuleInputs, ModuleOutputs, StillroomError
from stillroom.recorders import pick, replaced


def quoted(message: str) -> str:
    return f"^{re.escape(message)}$"


# Values


def test_outputs_and_inputs_of_modules_by_name() -> None:
    model, x = Net().eval(), images()
    with kd.record(model, conv="conv", head=ModuleInputs("head"), whole="", given=":input") as seen:
        output = model(x)
    feature = F.relu(model.norm(model.conv(x)))
    torch.testing.assert_close(seen["conv"], model.conv(x))
    torch.testing.assert_close(seen["head"], feature.mean((2, 3)))
    torch.testing.assert_close(seen["whole"], output)
    torch.testing.assert_close(seen["given"], x)
    assert list(seen) == ["conv", "head", "whole", "given"] and len(seen) == 4


def test_in_place_operations_after_a_site_change_neither_value_nor_gradient() -> None:
    model, x = Net(), images()
    with kd.record(model, norm="norm", before="act:input", after="act") as seen:
        model(x)
    expected = F.batch_norm(model.conv(x), None, None, training=True)
    assert (expected < 0).any()
    torch.testing.assert_close(seen["norm"], expected)
    torch.testing.assert_close(seen["before"], expected)
    torch.testing.assert_close(seen["after"], expected.relu())
    (seen["norm"] ** 3).sum().backward()
    (wanted,) = torch.autograd.grad((expected**3).sum(), model.conv.weight)
    torch.testing.assert_close(model.conv.weight.grad, wanted)


def test_an_addition_in_place_changes_nothing_either() -> None:
    model, x = Skip(), images()
    with kd.record(model, conv="conv") as seen:
        model(x)
    torch.testing.assert_close(seen["conv"], model.conv(x))


def test_arguments_by_position_and_by_name() -> None:
    model, x = Caller(), images()
    sites = {f"call{index}": f"block:input@{index}" for index in range(4)}
    with kd.record(model, **sites, scale="block:input@3[scale]", first="block:input@2[1]") as seen:
        model(x)
    torch.testing.assert_close(seen["call0"], x)
    torch.testing.assert_close(seen["call1"], x)
    torch.testing.assert_close(seen["call2"], (x, x))
    assert set(seen["call3"]) == {0, "scale"}
    torch.testing.assert_close(seen["call3"][0], 2 * x)
    assert seen["scale"] == 2.0
    torch.testing.assert_close(seen["first"], x)


def test_keys_that_are_numbers_in_writing() -> None:
    """As those of torchvision's feature pyramids, which a string cannot tell from positions."""
    assert pick({"1": "a"}, (1,)) == "a"
    assert pick({1: "a", "1": "b"}, (1,)) == "a"
    assert replaced({"1": "a", "2": "b"}, (1,), "c") == {"1": "c", "2": "b"}


def test_items_of_nested_outputs() -> None:
    model, x = Several(), torch.randn(2, 4)
    with kd.record(model, a="[logits]", b="[full][hidden][0]", c="[full][1][-1]", d="[full][logits]") as seen:
        output = model(x)
    torch.testing.assert_close(seen["a"], output["logits"])
    torch.testing.assert_close(seen["b"], x)
    torch.testing.assert_close(seen["c"], model.body(x))
    torch.testing.assert_close(seen["d"], output["logits"])


def test_one_call_of_several() -> None:
    model, x = Thrice(), torch.randn(2, 4)
    with kd.record(model, first="head@0", second="head@1", last="head@-1") as seen:
        output = model(x)
    torch.testing.assert_close(seen["first"], model.head(x))
    torch.testing.assert_close(seen["second"], model.head(seen["first"]))
    torch.testing.assert_close(seen["last"], output)


def test_a_module_with_two_names_has_two_sites() -> None:
    model, x = Net().eval(), images()
    model.alias = model.conv
    with kd.record(model, a="alias", b="conv") as seen:
        model(x)
    torch.testing.assert_close(seen["a"], model.conv(x))
    torch.testing.assert_close(seen["b"], model.conv(x))


def test_calls_of_many_forward_passes_are_counted_on() -> None:
    model, x = Net().eval(), images()
    with kd.record(model, second="conv@1") as seen:
        model(x)
        model(2 * x)
        torch.testing.assert_close(seen["second"], model.conv(2 * x))


def test_nested_recordings_do_not_disturb_each_other() -> None:
    model, x = Net().eval(), images()
    with kd.record(model, conv="conv@0") as outer:
        with kd.record(model, conv="conv", norm="norm") as inner:
            model(x)
        model(x)
    torch.testing.assert_close(inner["conv"], model.conv(x))
    torch.testing.assert_close(outer["conv"], model.conv(x))
    assert hooks(model) == 0


def test_a_compiled_model_is_recorded_by_the_paths_of_the_users_own() -> None:
    model, x = Net().eval(), images()
    with kd.record(torch.compile(model, backend="eager"), conv="conv") as seen:
        model(x)
    torch.testing.assert_close(seen["conv"], model.conv(x))


class Checkpointed(nn.Module):
    """Runs its first part a second time in the backward pass."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.body, self.head, self.reentrant = nn.Linear(4, 4), nn.Linear(4, 3), reentrant

    def part(self, x: Tensor) -> Tensor:
        return F.softplus(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.part, x, use_reentrant=self.reentrant))


def test_what_the_backward_pass_runs_again_is_no_second_call() -> None:
    model, x = Checkpointed(reentrant=False), torch.randn(2, 4)
    softplus = kd.FunctionOutputs("torch.nn.functional.softplus")
    with kd.record(model, body="body", plus=softplus, gradient=kd.Gradients("body")) as seen:
        model(x).sum().backward()
    body = model.body(x)
    (wanted,) = torch.autograd.grad(model.head(F.softplus(body)).sum(), body)
    torch.testing.assert_close(seen["gradient"], wanted)
    torch.testing.assert_close(seen["plus"], F.softplus(seen["body"]))


@pytest.mark.parametrize("grad", [True, False])
def test_a_site_of_a_student_through_which_no_gradient_would_flow(grad: bool) -> None:
    x = torch.randn(2, 4, requires_grad=True)
    for reentrant in (False, True):
        student = Checkpointed(reentrant=reentrant)
        terms = {"hint": kd.Term(kd.losses.L2(), student="body", teacher="body")}
        distiller = kd.Distiller(student, Checkpointed(reentrant=True), terms=terms)
        message = (
            "terms.hint.student: the value was recorded in a reentrant checkpoint, through which no gradient flows. "
            "Let the model call torch.utils.checkpoint.checkpoint(..., use_reentrant=False)."
        )
        with torch.set_grad_enabled(grad):
            if reentrant:
                with pytest.raises(StillroomError, match=quoted(message)):
                    distiller(x)
            else:
                assert distiller(x).loss.requires_grad == grad


# Nothing is left behind


def test_no_hook_is_left() -> None:
    model = Net()
    with kd.record(model, a="conv", b="act:input", c=""):
        assert hooks(model) == 4  # one of them also says that it takes keywords
    assert hooks(model) == 0


def test_no_hook_is_left_when_the_block_raises() -> None:
    model = Net()
    with pytest.raises(ZeroDivisionError), kd.record(model, a="conv", b="act:input"):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_no_hook_is_left_when_the_model_raises_and_what_was_seen_is_there() -> None:
    model = Net()
    model.head = nn.Linear(7, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), kd.record(model, a="conv") as seen:
        model(images())
    assert seen["a"].shape == (2, 4, 4, 4)
    assert hooks(model) == 0


def test_no_hook_is_left_when_a_site_is_wrong() -> None:
    model = Net()
    with pytest.raises(StillroomError), kd.record(model, a="conv", b="nothing"):
        pass
    assert hooks(model) == 0


# What is refused


def test_what_is_no_model() -> None:
    message = quoted("model: this is no model; expected an nn.Module, got <built-in function len>.")
    with pytest.raises(StillroomError, match=message), kd.record(len, a="conv"):
        pass


def test_a_module_that_does_not_exist() -> None:
    message = quoted("a: Net has no module 'unsed'. Did you mean 'unused'?")
    with pytest.raises(StillroomError, match=message), kd.record(Net(), a="unsed"):
        pass


def test_a_string_that_is_no_site() -> None:
    message = quoted("a: this is no site; expected [teacher/]path[:input|:output][@call][item]..., got 'conv:outputs'.")
    with pytest.raises(StillroomError, match=message), kd.record(Net(), a="conv:outputs"):
        pass


def test_a_models_name_in_front() -> None:
    message = quoted("a: a site has no model's name in front here; got 'teacher/conv'. Record one model at a time.")
    with pytest.raises(StillroomError, match=message), kd.record(Net(), a="teacher/conv"):
        pass


def test_a_module_that_never_ran() -> None:
    model = Net()
    with kd.record(model, a="unused") as seen:
        model(images())
    with pytest.raises(StillroomError, match=quoted("a: module 'unused' was never called in the forward pass.")):
        seen["a"]


def test_a_module_that_ran_more_often() -> None:
    model = Thrice()
    with kd.record(model, a="head") as seen:
        model(torch.randn(2, 4))
    message = "a: module 'head' was called 3 times in one forward pass. Choose one call: head@0 ... head@2."
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["a"]


@pytest.mark.parametrize("call", [3, -4])
def test_a_module_that_ran_less_often(call: int) -> None:
    model = Thrice()
    with kd.record(model, a=ModuleOutputs("head", call=call)) as seen:
        model(torch.randn(2, 4))
    message = (
        f"a: module 'head' was called less often than asked for; expected call @{call}, got 3 call(s), counted from @0."
    )
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["a"]


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("[logit]", "a: the recorded value has no item [logit]; got a dict with logits, full. Did you mean 'logits'?"),
        ("[full][7]", "a: the recorded value has no item [7]; got a Output of 2."),
        ("[logits][0]", "a: the recorded value has no item [0]; got a Tensor of shape (2, 2)."),
        ("[full][hidden][mean]", "a: the recorded value has no item [mean]; got a list of 2."),
    ],
)
def test_an_item_that_is_not_there(site: str, message: str) -> None:
    model = Several()
    with kd.record(model, a=site) as seen:
        model(torch.randn(2, 4))
    with pytest.raises(StillroomError, match=quoted(message)):
        seen["a"]


def test_a_name_that_was_not_given() -> None:
    with kd.record(Net(), a="conv") as seen, pytest.raises(KeyError):
        seen["b"]
