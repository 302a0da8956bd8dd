"""BYOT: what the branches and the network learn, and from what."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from trained_nets import QUIET, fit, sgd

from stillroom import Distiller, StillroomError, Term
from stillroom.algorithms import Branch, SelfDistill
from stillroom.connectors import SelfBranch
from stillroom.losses import KLDivergence
from stillroom.models import SmallCNN

pytestmark = QUIET
CLASSES = 3


def batches(dtype: torch.dtype = torch.float32) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "inputs": torch.randn(6, 1, 8, 8, generator=generator).to(dtype),
            "labels": torch.randint(CLASSES, (6,), generator=generator),
        }
        for _ in range(3)
    ]


def branch(site: str, **weights: float) -> Branch:
    return Branch(site=site, connector=SelfBranch(4, 8, CLASSES), **weights)


def make(*branches: Branch, dtype: torch.dtype = torch.float32, **options: object) -> SelfDistill:
    torch.manual_seed(0)
    listed = list(branches) or [branch("stem"), branch("layer1", feature_weight=0.0)]
    student = SmallCNN(num_classes=CLASSES, width=4).to(dtype)
    given = {"optimizer": sgd, "feature": "pool"} | options
    return SelfDistill(Distiller(student), branches=listed, **given).to(dtype)


def by_hand(net: SmallCNN, branches: list[nn.Module], batch: dict[str, Tensor], feature: list[float]) -> Tensor:
    """Equations 2 to 5 of the paper."""
    stem = net.stem(batch["inputs"])
    layer1 = net.layer1(stem)
    pooled = net.pool(net.layer2(layer1))
    final = net.fc(pooled)
    loss = F.cross_entropy(final, batch["labels"])
    target = (final.detach() / 3).softmax(1)
    for own, value, weight in zip(branches, (stem, layer1), feature, strict=True):
        vector, logits = own(value)
        loss = loss + 0.7 * F.cross_entropy(logits, batch["labels"])
        loss = loss + 0.3 * 9 * (target * (target.log() - (logits / 3).log_softmax(1))).sum(1).mean()
        loss = loss + weight * (vector - pooled.detach()).square().sum(1).mean()
    return loss


def test_value_and_gradient() -> None:
    algorithm, batch = make(dtype=torch.float64), batches(torch.float64)[0]
    net, own = copy.deepcopy(algorithm.student), copy.deepcopy([*algorithm.branches.values()])
    step = algorithm.training_step(batch, 0)
    step["loss"].backward()
    expected = by_hand(net, own, batch, [0.03, 0.0])
    expected.backward()
    torch.testing.assert_close(step["loss"], expected)
    for mine, theirs in ((algorithm.student, net), *zip(algorithm.branches.values(), own, strict=True)):
        for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_a_step_returns_its_parts_and_their_weights() -> None:
    step = make().training_step(batches()[0], 0)
    assert step["weights"] == {
        "task": 1.0,
        "branch1_task": 0.7,
        "branch1_logits": 0.3,
        "branch1_feature": 0.03,
        "branch2_task": 0.7,
        "branch2_logits": 0.3,
    }
    assert not any(part.requires_grad for part in step["parts"].values())
    total = sum(step["weights"][name] * part for name, part in step["parts"].items())
    torch.testing.assert_close(step["loss"].detach(), total)


def test_what_is_learned_from_gets_no_gradient() -> None:
    algorithm = make(branch("stem", task_weight=0.0, logits_weight=1.0, feature_weight=1.0), task_weight=0)
    algorithm.training_step(batches()[0], 0)["loss"].backward()
    net = algorithm.student
    assert all(parameter.grad is None for part in (net.layer1, net.layer2, net.fc) for parameter in part.parameters())
    assert net.stem[0].weight.grad.abs().sum() > 0


def test_training_equals_a_loop_of_ones_own() -> None:
    algorithm = make()
    net, own = copy.deepcopy(algorithm.student), nn.ModuleList(copy.deepcopy([*algorithm.branches.values()]))
    optimizer = sgd(iter([*net.parameters(), *own.parameters()]))
    for batch in batches() * 2:
        optimizer.zero_grad()
        by_hand(net, [*own], batch, [0.03, 0.0]).backward()
        optimizer.step()
    fit(algorithm, data=batches())
    torch.testing.assert_close(algorithm.student.state_dict(), net.state_dict(), rtol=1e-4, atol=1e-5)
    trained = nn.ModuleList(algorithm.branches.values()).state_dict()
    torch.testing.assert_close(trained, own.state_dict(), rtol=1e-4, atol=1e-5)


def test_terms_of_the_distiller_count_besides() -> None:
    torch.manual_seed(0)
    student = SmallCNN(num_classes=CLASSES, width=4)
    distiller = Distiller(student, SmallCNN(num_classes=CLASSES), terms={"kl": Term(KLDivergence(), weight=0.5)})
    algorithm = SelfDistill(distiller, branches=[branch("stem")], feature="pool", optimizer=sgd)
    step = algorithm.training_step(batches()[0], 0)
    assert step["weights"]["kl"] == 0.5
    total = sum(step["weights"][name] * part for name, part in step["parts"].items())
    torch.testing.assert_close(step["loss"].detach(), total)


def test_every_branch_is_measured_in_validation() -> None:
    algorithm = make()
    metrics = fit(algorithm, data=batches(), val=batches())
    assert metrics.keys() == {"val_loss", "val_accuracy", "val_accuracy_branch1", "val_accuracy_branch2"}
    net, (first, second) = algorithm.student.eval(), [each.eval() for each in algorithm.branches.values()]
    with torch.no_grad():
        stems = [(net.stem(batch["inputs"]), batch["labels"]) for batch in batches()]
        answers = {
            "val_accuracy_branch1": [(first(stem)[1].argmax(1) == y).float().mean() for stem, y in stems],
            "val_accuracy_branch2": [(second(net.layer1(stem))[1].argmax(1) == y).float().mean() for stem, y in stems],
        }
    for name, right in answers.items():
        assert metrics[name] == pytest.approx(torch.stack(right).mean().item())


def test_an_exit_leaves_the_network_as_it_was() -> None:
    """Also one that is in train mode: what it is asked here is no training."""
    algorithm = make()
    net = algorithm.student.train()
    before = copy.deepcopy(net.state_dict())
    way_out = algorithm.companions["branch1"].eval()
    way_out(batches()[0]["inputs"])
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert all(module.training for module in net.modules())
    assert {name.partition(".")[0] for name in way_out.state_dict()} == {"module"}


def test_the_student_is_left_without_hooks() -> None:
    algorithm = make()
    fit(algorithm, data=batches(), val=batches())
    algorithm.distiller.release()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in algorithm.student.modules())
    assert algorithm.student.state_dict().keys() == SmallCNN(num_classes=CLASSES, width=4).state_dict().keys()


def test_without_branches() -> None:
    message = "algorithm.branches: self-distillation needs a branch; got []."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        SelfDistill(Distiller(SmallCNN()), branches=[], feature="pool", optimizer=sgd)


@pytest.mark.parametrize(
    ("branches", "feature", "message"),
    [
        ([branch("stage9")], "pool", r"^algorithm\.branch1: SmallCNN has no module 'stage9'. Did you mean 'stem'"),
        ([branch("stem")], "pole", r"^algorithm\.feature: SmallCNN has no module 'pole'. Did you mean 'pool'"),
        (
            [branch("layer2")],
            "pool",
            r"SelfBranch cannot read this feature; expected a map \(N, 4, H, W\), got a tensor of shape \(6, 8, 2, 2\)",
        ),
        (
            [branch("stem")],
            "layer2",
            r"^algorithm\.branch1: the branch's feature is not like the network's; expected \(6, 32\), "
            r"got \(6, 8\)\. Give its connector other out_channels, choose another feature, or set its feature_weight",
        ),
    ],
)
def test_what_a_rehearsal_finds(branches: list[Branch], feature: str, message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        make(*branches, feature=feature).rehearse(batches()[0])


def test_a_rehearsal_changes_nothing() -> None:
    algorithm = make()
    before, state = copy.deepcopy(algorithm.state_dict()), torch.get_rng_state()
    algorithm.rehearse(batches()[0])
    torch.testing.assert_close(algorithm.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_term_with_the_name_of_a_part() -> None:
    distiller = Distiller(SmallCNN(), SmallCNN(), terms={"branch1_logits": Term(KLDivergence())})
    message = "terms.branch1_logits: this name has a meaning in metrics.csv. Rename it."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        SelfDistill(distiller, branches=[branch("stem")], feature="pool", optimizer=sgd)
