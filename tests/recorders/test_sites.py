"""Site strings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stillroom import ModuleInputs, ModuleOutputs, StillroomError
from stillroom.recorders import Site, parse_site

names = st.text("abcdefgh_XYZ0123456789-", min_size=1, max_size=6)
paths = st.lists(names, max_size=4).map(".".join)
items = st.integers(-20, 20) | names.filter(lambda name: not re.fullmatch(r"-?\d+", name))
recorders = st.builds(
    lambda kind, path, call, chosen: kind(path, call=call, items=tuple(chosen)),
    st.sampled_from([ModuleOutputs, ModuleInputs]),
    paths,
    st.none() | st.integers(-5, 5),
    st.lists(items, max_size=3),
)


@given(recorder=recorders, model=st.none() | names)
def test_every_site_is_read_back_from_its_string(recorder: ModuleOutputs | ModuleInputs, model: str | None) -> None:
    site = Site(recorder, model)
    assert parse_site(str(site)) == site


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("", Site(ModuleOutputs(""))),
        ("layer4.1", Site(ModuleOutputs("layer4.1"))),
        ("layer4.1:output", Site(ModuleOutputs("layer4.1"))),
        ("layer4.1:input", Site(ModuleInputs("layer4.1"))),
        (":input", Site(ModuleInputs(""))),
        ("head@1", Site(ModuleOutputs("head", call=1))),
        ("head@-1", Site(ModuleOutputs("head", call=-1))),
        ("head:output@1[0]", Site(ModuleOutputs("head", call=1, items=(0,)))),
        ("[logits]", Site(ModuleOutputs("", items=("logits",)))),
        ("[hidden_states][-1]", Site(ModuleOutputs("", items=("hidden_states", -1)))),
        ("big/layer4", Site(ModuleOutputs("layer4"), "big")),
        ("big/", Site(ModuleOutputs(""), "big")),
    ],
)
def test_each_part_of_a_string(text: str, site: Site) -> None:
    assert parse_site(text) == site


def test_recorders_and_sites_are_taken_as_they_are() -> None:
    recorder = ModuleInputs("layer4", call=2)
    assert parse_site(recorder) == Site(recorder)
    assert parse_site(Site(recorder, "big")) == Site(recorder, "big")


@pytest.mark.parametrize(
    "text",
    [
        "layer4:outputs",
        "a/b/c",
        "/layer4",
        "layer4@x",
        "layer4@",
        "layer4[",
        "layer4[]",
        "layer4[0]:input",
        "layer4@1:input",
        "layer4[0]x",
        ":",
        3,
        None,
        nn.Identity(),
    ],
)
def test_anything_else_is_refused(text: object) -> None:
    message = f"this is no site; expected [teacher/]path[:input|:output][@call][item]..., got {text!r}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        parse_site(text)


@pytest.mark.parametrize(
    ("text", "is_output"),
    [("", True), ("[logits]", True), ("@0", True), ("@1", False), (":input", False), ("layer4", False)],
)
def test_the_models_own_output_needs_no_hook(text: str, is_output: bool) -> None:
    assert parse_site(text).is_output is is_output
