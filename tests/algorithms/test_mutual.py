"""Deep mutual learning: what each player learns from, and that nothing else reaches it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW, Optimizer
from trained_nets import BATCHES, QUIET, Deep, Norm, batches, fit, sgd

from stillroom import Distiller, StillroomError, Term
from stillroom.algorithms import Mutual, logits_of
from stillroom.losses import KLDivergence

pytestmark = QUIET


class Apart(nn.Module):
    """A loss that leaves its second argument its gradient."""

    def forward(self, student: Tensor, other: Tensor) -> Tensor:
        return (student - other).square().mean()


def networks(dtype: torch.dtype = torch.float32) -> list[nn.Module]:
    torch.manual_seed(0)
    return [network.to(dtype) for network in (Norm(5), Deep(), Norm(3))]


def make(players: list[nn.Module], **options: object) -> Mutual:
    return Mutual(Distiller(players[0]), peers=players[1:], **({"optimizer": sgd} | options))


def kl(own: Tensor, other: Tensor) -> Tensor:
    """Σ p_other (log p_other − log p_own), averaged over the images."""
    p = other.softmax(1)
    return (p * (p.log() - own.log_softmax(1))).sum(1).mean()


def mse(own: Tensor, other: Tensor) -> Tensor:
    return F.mse_loss(own, other)


def by_hand(players: list[nn.Module], player: int, batch: dict[str, Tensor], *, weight: float, task: float, loss=kl):
    """Equation 9 of the paper for one player, the others being constants."""
    logits = [logits_of(each(batch["inputs"])) for each in players]
    others = [other.detach() for index, other in enumerate(logits) if index != player]
    mutual = sum(loss(logits[player], other) for other in others) / len(others)
    return task * F.cross_entropy(logits[player], batch["labels"]) + weight * mutual


@pytest.mark.parametrize(("loss", "formula"), [(None, kl), (Apart(), mse)])
@pytest.mark.parametrize("count", [2, 3])
def test_each_player_has_the_gradient_of_its_own_loss(count: int, loss: nn.Module | None, formula) -> None:
    players, batch = networks(torch.float64)[:count], batches(dtype=torch.float64)[0]
    copies = [copy.deepcopy(players) for _ in players]
    step = make(players, loss=loss, weight=0.7, task_weight=0.4).training_step(batch, 0)
    step["loss"].backward()
    total = 0.0
    for player, own in enumerate(copies):
        expected = by_hand(own, player, batch, weight=0.7, task=0.4, loss=formula)
        expected.backward()
        total += expected.item()
        gradients = [[p.grad for p in each.parameters()] for each in (players[player], own[player])]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
    assert step["loss"].item() == pytest.approx(total, rel=1e-12)


def test_the_distillers_terms_are_for_the_student_alone() -> None:
    players, batch = networks(torch.float64), batches(dtype=torch.float64)[0]
    copies = copy.deepcopy(players)
    teacher = Norm(9).double()
    distiller = Distiller(players[0], teacher, terms={"kl": Term(KLDivergence(), weight=0.5)})
    step = Mutual(distiller, peers=players[1:], optimizer=sgd).training_step(batch, 0)
    step["loss"].backward()
    assert step["parts"].keys() == {
        *("kl", "task", "mutual", "peer1_task", "peer1_mutual", "peer2_task", "peer2_mutual"),
    }
    assert step["weights"]["kl"] == 0.5
    for player in range(3):
        own = copy.deepcopy(copies)
        expected = by_hand(own, player, batch, weight=1.0, task=1.0)
        if player == 0:
            expected = expected + 0.5 * kl(own[0](batch["inputs"]), teacher(batch["inputs"]))
        expected.backward()
        for mine, theirs in zip(players[player].parameters(), own[player].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-12)


def test_peers_that_do_not_listen_learn_the_labels_alone() -> None:
    players, batch = networks(torch.float64), batches(dtype=torch.float64)[0]
    copies = copy.deepcopy(players)
    step = make(players, weight=0.7, peers_listen=False).training_step(batch, 0)
    assert step["parts"].keys() == {"task", "mutual", "peer1_task", "peer2_task"}
    step["loss"].backward()
    for player in range(3):
        own = copy.deepcopy(copies)
        by_hand(own, player, batch, weight=0.7 if player == 0 else 0.0, task=1.0).backward()
        for mine, theirs in zip(players[player].parameters(), own[player].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-12)


def test_a_step_returns_its_parts_and_their_weights() -> None:
    step = make(networks(), weight=0.7, task_weight=0.4).training_step(batches()[0], 0)
    mutual, tasks = ("mutual", "peer1_mutual", "peer2_mutual"), ("task", "peer1_task", "peer2_task")
    assert step["weights"] == dict.fromkeys(mutual, 0.7) | dict.fromkeys(tasks, 0.4)
    assert not any(part.requires_grad for part in step["parts"].values())
    total = sum(step["weights"][name] * part for name, part in step["parts"].items())
    torch.testing.assert_close(step["loss"].detach(), total)


def adam(parameters: Iterator[nn.Parameter]) -> Optimizer:
    return AdamW(parameters, lr=0.01)


def by_kind(parameters: Iterator[nn.Parameter]) -> Optimizer:
    """No weight decay for vectors."""
    listed = list(parameters)
    matrices = {"params": [p for p in listed if p.dim() > 1], "weight_decay": 0.1}
    return SGD([matrices, {"params": [p for p in listed if p.dim() == 1]}], lr=0.1, momentum=0.9)


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("maker", [sgd, adam, by_kind])
def test_training_equals_a_loop_with_an_optimizer_for_each(maker, clip: float | None) -> None:
    """Updates are simultaneous, and the gradient of each player is clipped by itself."""
    players, data = networks(torch.float64), batches(dtype=torch.float64)
    expected = copy.deepcopy(players)
    optimizers = [maker(player.parameters()) for player in expected]
    for batch in data * 2:
        logits = [logits_of(player(batch["inputs"])) for player in expected]
        for optimizer in optimizers:
            optimizer.zero_grad()
        for player, own in enumerate(logits):
            mutual = sum(kl(own, other.detach()) for other in logits if other is not own) / 2
            (F.cross_entropy(own, batch["labels"]) + mutual).backward()
            if clip is not None:
                assert nn.utils.clip_grad_norm_(expected[player].parameters(), clip) > 0
        for optimizer in optimizers:
            optimizer.step()
    fit(make(players, optimizer=maker), data=data, gradient_clip_val=clip)
    for mine, theirs in zip(players, expected, strict=True):
        torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=1e-6, atol=1e-8)


def test_gradients_may_be_clipped_by_value() -> None:
    players = networks()
    before = [parameter.detach().clone() for player in players for parameter in player.parameters()]
    settings = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": "value"}
    fit(make(players, optimizer=lambda p: SGD(p, lr=1.0)), epochs=1, **settings)
    after = [parameter.detach() for player in players for parameter in player.parameters()]
    moved = [(one - other).abs().max().item() for one, other in zip(before, after, strict=True)]
    assert 0 < max(moved) <= BATCHES * 1.001e-3


def test_players_share_no_state_of_the_optimizer() -> None:
    players = networks()
    groups = make(players).configure_optimizers().param_groups
    assert [[id(p) for p in group["params"]] for group in groups] == [[id(p) for p in n.parameters()] for n in players]


def test_every_player_is_measured_in_validation() -> None:
    players = networks()
    metrics = fit(make(players), val=batches(), epochs=1)
    assert metrics.keys() == {"val_loss", "val_accuracy", "val_accuracy_peer1", "val_accuracy_peer2"}
    for name, player in zip(("val_accuracy", "val_accuracy_peer1", "val_accuracy_peer2"), players, strict=True):
        right = [(logits_of(player.eval()(b["inputs"])).argmax(1) == b["labels"]).float().mean() for b in batches()]
        assert metrics[name] == pytest.approx(torch.stack(right).mean().item())


def test_peers_are_in_the_checkpoint_and_not_in_the_student() -> None:
    algorithm = make(networks())
    assert {name.partition(".")[0] for name in algorithm.state_dict()} == {"distiller", "peers"}
    assert algorithm.student.state_dict().keys() == Norm(5).state_dict().keys()


def test_without_a_task_no_labels_are_needed() -> None:
    step = make(networks(), task_weight=0).training_step(batches(labels=False)[0], 0)
    assert step["parts"].keys() == {"mutual", "peer1_mutual", "peer2_mutual"}


def test_a_rehearsal_changes_nothing() -> None:
    algorithm = make(networks())
    before, state = copy.deepcopy(algorithm.state_dict()), torch.get_rng_state()
    algorithm.rehearse(batches()[0])
    torch.testing.assert_close(algorithm.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def refused(message: str, *players: nn.Module, **options: object) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        make(list(players), **options)


def test_a_player_alone() -> None:
    message = "algorithm.peers: nobody is there to learn from; expected one peer or more, got 0. Name one."
    refused(message, Norm(5))


def test_one_network_that_plays_twice() -> None:
    network = Norm(5)
    message = "algorithm.peers: players share parameters. Give each player a network of its own."
    refused(message, network, network)
    refused(message, Norm(5), network, network)


def test_a_loss_that_would_learn() -> None:
    message = "algorithm.loss: a mutual loss belongs to no player, so nothing would train its parameters; got Bilinear."
    refused(message, Norm(5), Norm(5), loss=nn.Bilinear(4, 4, 1))


@pytest.mark.parametrize("name", ["mutual", "peer1_task", "peer1_mutual"])
def test_a_term_with_the_name_of_a_part(name: str) -> None:
    distiller = Distiller(Norm(5), Norm(5), terms={name: Term(KLDivergence())})
    message = f"terms.{name}: this name has a meaning in metrics.csv. Rename it."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        Mutual(distiller, peers=[Norm(5)], optimizer=sgd)
