"""A network behind a random mask."""

import re

import pytest
import torch
from torch import nn

from stillroom import StillroomError
from stillroom.models import HiddenPatches
from stillroom.models.hidden_patches import draw_visible


def test_whole_patches_are_hidden_of_each_image_on_its_own():
    torch.manual_seed(0)
    visible = draw_visible(torch.zeros(200, 3, 5, 7), 2, 0.25)
    assert visible.shape == (200, 1, 5, 7)
    assert set(visible.unique().tolist()) == {0.0, 1.0}
    patches = visible[:, :, ::2, ::2]
    assert torch.equal(patches.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :5, :7], visible)
    assert abs(patches.mean().item() - 0.75) < 4 * (0.25 * 0.75 / patches.numel()) ** 0.5
    assert not torch.equal(visible[0], visible[1])


@pytest.mark.parametrize(
    ("always", "training", "hides"), [(False, True, True), (False, False, False), (True, False, True)]
)
def test_it_hides_while_it_trains_or_always(always, training, hides):
    torch.manual_seed(0)
    model = HiddenPatches(nn.Identity(), always=always).train(training)
    images = torch.ones(4, 2, 8, 8)
    assert torch.equal(model(images), images) is not hides


def test_nothing_is_hidden_at_zero():
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(HiddenPatches(nn.Identity(), hidden=0.0)(images), images)


@pytest.mark.parametrize(("patch", "hidden"), [(0, 0.5), (2, 1.0), (2, -0.1)])
def test_a_mask_that_is_none(patch, hidden):
    given = f"patch={patch}, hidden={hidden}"
    message = f"this mask hides nothing or everything; expected patch >= 1, 0 <= hidden < 1, got {given}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        HiddenPatches(nn.Identity(), patch=patch, hidden=hidden)
