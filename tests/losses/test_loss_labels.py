"""Labels, for every loss that takes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses import DKD, OFAKD, WSLD, VirtualTeacher
from stillroom.losses.labels import log_odds, of_label, with_label

Labelled = Callable[[Tensor, object], Tensor]

LOGITS = torch.linspace(-2, 2, 12).reshape(4, 3)
LOSSES: dict[str, Labelled] = {
    "DKD": lambda logits, labels: DKD()(logits, -logits, labels=labels),
    "OFAKD": lambda logits, labels: OFAKD(eps=1.5)(logits, -logits, labels=labels),
    "WSLD": lambda logits, labels: WSLD()(logits, -logits, labels=labels),
    "VirtualTeacher": lambda logits, labels: VirtualTeacher()(logits, labels=labels),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@each_loss
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (torch.zeros(3, dtype=torch.long), r"torch\.int64 \(3,\)"),
        (torch.zeros(1, dtype=torch.long), r"torch\.int64 \(1,\)"),
        (torch.zeros(4, 1, dtype=torch.long), r"torch\.int64 \(4, 1\)"),
        (torch.zeros(4, dtype=torch.int32), r"torch\.int32 \(4,\)"),
        (torch.zeros(4, 3), r"torch\.float32 \(4, 3\)"),
        ([0, 1, 2, 0], "list"),
        (None, "NoneType"),
    ],
)
def test_anything_but_class_numbers_is_refused(loss: Labelled, labels: object, got: str) -> None:
    message = rf"^labels must be one class number per sample; expected torch\.int64 \(4,\), got {got}\.$"
    with pytest.raises(StillroomError, match=message):
        loss(LOGITS, labels)


@each_loss
@pytest.mark.parametrize("wrong", [3, -1, -100])
def test_class_that_does_not_exist_is_refused_by_torch(loss: Labelled, wrong: int) -> None:
    with pytest.raises(
        (IndexError, RuntimeError), match=rf"index {wrong} is out of bounds for dimension 1 with size 3"
    ):
        loss(LOGITS, torch.tensor([0, 1, 2, wrong]))


@each_loss
def test_labels_are_not_looked_at(loss: Labelled) -> None:
    """On the meta device there are no numbers: whoever asked for one would fail here, and wait on a GPU."""
    assert loss(LOGITS.to("meta"), torch.zeros(4, dtype=torch.long, device="meta")).shape == ()


def test_log_odds_are_exact_where_the_probability_rounds_to_one() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0], [0.0, 1e4, -1e4]])
    odds = log_odds(logits, torch.tensor([0, 2]))
    torch.testing.assert_close(odds, torch.tensor([[60.0 - 0.6931472], [-2e4]]))
    assert float(torch.nn.functional.logsigmoid(odds[0])) == pytest.approx(-2 * torch.tensor(-60.0).exp().item())


def test_label_is_read_and_replaced_row_by_row() -> None:
    labels = torch.tensor([2, 0, 1, 1])
    torch.testing.assert_close(of_label(LOGITS, labels).flatten(), LOGITS[range(4), labels])
    replaced = with_label(LOGITS, labels, 7.0)
    assert torch.equal(of_label(replaced, labels), torch.full((4, 1), 7.0))
    assert int((replaced != LOGITS).sum()) == 4
