"""Several teachers as one."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stillroom import Distiller, Ensemble, StillroomError, Teacher, Term
from stillroom.losses import KLDivergence


class Says(nn.Module):
    """Says the same whatever it is asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, _: Tensor) -> Tensor:
        return self.logits


def answers(count: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [4 * torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(count)]


def ask(logits: list[Tensor], **options: object) -> Tensor:
    return Ensemble([Says(one) for one in logits], **options)(torch.zeros(5))


@settings(deadline=None)
@given(st.floats(0.5, 8), st.lists(st.floats(0, 5), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1))
def test_at_its_temperature_it_is_the_weighted_mean_of_the_probabilities(tau: float, weights: list[float]) -> None:
    logits = answers()
    wanted = sum(w / sum(weights) * (z / tau).softmax(1) for w, z in zip(weights, logits, strict=True))
    torch.testing.assert_close((ask(logits, weights=weights, tau=tau) / tau).softmax(1), wanted)


def test_equal_weights_unless_said_otherwise() -> None:
    torch.testing.assert_close(ask(answers()).softmax(1), torch.stack([z.softmax(1) for z in answers()]).mean(0))


def test_of_one_it_is_that_one_up_to_a_shift() -> None:
    (z,) = answers(1)
    torch.testing.assert_close(ask([z], tau=4.0), z - 4 * torch.logsumexp(z / 4, 1, keepdim=True))


def test_by_confidence_each_sample_has_weights_of_its_own() -> None:
    logits = answers()
    weights = torch.stack([(z.softmax(1) * z.log_softmax(1)).sum(1) for z in logits]).softmax(0)
    wanted = sum(w[:, None] * z.softmax(1) for w, z in zip(weights, logits, strict=True))
    torch.testing.assert_close(ask(logits, weights="confidence").softmax(1), wanted)
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    assert ask([sure, unsure], weights="confidence").softmax(1)[0, 0] > ask([sure, unsure]).softmax(1)[0, 0]


def test_it_teaches_and_is_frozen_with_all_its_members() -> None:
    torch.manual_seed(0)
    student, first, second = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(2, 6)
    ensemble = Ensemble([first, Teacher(second, transform=lambda x: x[:, :2], classes=[5, 0, 3])], tau=2.0)
    distiller = Distiller(student, ensemble, terms={"kl": Term(KLDivergence(tau=2.0))})
    x = torch.randn(6, 4)
    found = distiller(x)
    mean = ((first(x) / 2).softmax(1) + (second(x[:, :2])[:, [5, 0, 3]] / 2).softmax(1)) / 2
    wanted = 4 * (mean * (mean.log() - (student(x) / 2).log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(found.loss, wanted)
    assert not any(p.requires_grad for member in (first, second) for p in member.parameters())
    assert list(dict(distiller.named_parameters())) == ["student.weight", "student.bias"]
    torch.testing.assert_close(copy.deepcopy(distiller)(x).loss, found.loss)


def test_members_are_called_with_the_keywords_of_a_mapping() -> None:
    class Named(nn.Module):
        def forward(self, *, image: Tensor) -> Tensor:
            return image

    x = torch.randn(2, 3)
    torch.testing.assert_close(Teacher(Ensemble([Named(), Named()]))({"image": x}), x.log_softmax(1))


def test_members_that_return_their_logits_among_others() -> None:
    class Worded(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"hidden": x, "logits": 2 * x}

    x = torch.randn(2, 3)
    ensemble = Ensemble([Worded(), Teacher(Worded(), classes=[2, 0, 1], items=("logits",))], items=("logits",))
    wanted = ((2 * x).softmax(1) + (2 * x)[:, [2, 0, 1]].softmax(1)) / 2
    torch.testing.assert_close(ensemble(x).softmax(1), wanted)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "members: an ensemble needs members; expected at least 1, got 0."),
        (2, {"tau": 0.0}, "tau is no temperature; expected tau > 0 and finite, got 0.0."),
        *(
            (
                2,
                {"weights": weights},
                f'weights: these are no weights; expected 2 numbers from 0, not all 0, or "confidence", got {weights}.',
            )
            for weights in ([1.0], [0, 0], [2, -1], "best")
        ),
    ],
)
def test_what_is_no_ensemble(count: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Ensemble([nn.Identity() for _ in range(count)], **options)


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (torch.zeros(5, 6), "a Tensor of shape (5, 6)"),
        (torch.zeros(7), "a Tensor of shape (7,)"),
        ({}, "a dict with no keys"),
    ],
)
def test_members_that_answer_differently(other: object, got: str) -> None:
    class Other(nn.Module):
        def forward(self, _: Tensor) -> object:
            return other

    message = (
        "members.1: the members of an ensemble must return logits of the same classes; expected a Tensor of shape "
        f'(5, 7), got {got}. Teacher(network, classes=...) maps classes; items=("logits",) says where the logits are.'
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Ensemble([Says(torch.zeros(5, 7)), Other()])(torch.zeros(5))
