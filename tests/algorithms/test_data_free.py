"""Data-free distillation: who steps when, on which images, and that nothing leaks from one into the other."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import data_free_processes
import pytest
import torch
from data_free_parts import BATCH, KINDS, Events, distiller_for, fit, images, make
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distiller, StillroomError, Teacher, Term
from stillroom.algorithms import DAFL, DFAD, ZSKT, WarmUpMultiStepLR
from stillroom.algorithms.data_free import DataFree, _expect_trainer
from stillroom.losses import KLDivergence
from stillroom.models import DAFLGenerator, SmallCNN

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training.*"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)` is deprecated.*"),
]


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fake(algorithm: DataFree, count: int = BATCH) -> Tensor:
    return algorithm.generation.generator(algorithm.generation.numbers(count))


# Nothing leaks


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_the_generator_leaves_the_student_and_the_teacher_alone(kind: type[DataFree]) -> None:
    algorithm = make(kind)
    student, teacher, generator = algorithm.student, algorithm.teacher, algorithm.generation.generator
    student.train()
    before = [state(model) for model in (student, teacher, generator)]
    algorithm.generation.step(algorithm.objective(fake(algorithm)))
    assert [same(state(m), old) for m, old in zip((student, teacher, generator), before, strict=True)] == [
        True,
        True,
        False,
    ]
    assert [p.grad for model in (student, teacher) for p in model.parameters() if p.grad is not None] == []
    assert (student.training, teacher.training, generator.training) == (True, False, True)


def test_the_student_learns_as_beside_a_generator_that_never_steps() -> None:
    """One that steps by nothing: what it would leave behind is all that the two could differ in."""
    stepping, frozen = make(DFAD, student_steps=1, lr=0.0), make(DFAD, student_steps=1000)
    start = state(stepping.student)
    for algorithm, order in ((stepping, "S" + "GS" * 5), (frozen, "SSSSSS")):
        fit(algorithm, events := Events(algorithm), steps=6)
        assert events.order == order
    assert same(state(stepping.student), state(frozen.student))
    assert not same(state(stepping.student), start)


@pytest.mark.parametrize("kind", KINDS)
def test_the_teacher_is_the_same_to_the_bit_after_training(kind: type[DataFree]) -> None:
    algorithm = make(kind)
    before = state(algorithm.teacher)
    fit(algorithm)
    assert same(state(algorithm.teacher), before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_is_in_neither_the_optimizer_nor_the_weights(kind: type[DataFree]) -> None:
    algorithm = make(kind)
    (group,) = algorithm.configure_optimizers().param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in algorithm.student.parameters()}
    assert {name.split(".")[1] for name in algorithm.state_dict()} == {"student"}
    assert not any(module is algorithm.generation.generator for module in algorithm.modules())


# Who steps when


@pytest.mark.parametrize(
    ("kind", "options", "order"),
    [
        (DAFL, {}, "GSGSGSGSGSGS"),
        (DFAD, {"student_steps": 2}, "SSGSSGSS"),
        (DFAD, {}, "SSSSSGS"),
        (ZSKT, {"student_steps": 2}, "GSSGSSGSS"),
        (ZSKT, {}, "GSSSSSS"),
    ],
)
def test_the_order_of_the_steps(kind: type[DataFree], options: dict[str, int], order: str) -> None:
    algorithm = make(kind, **options)
    fit(algorithm, events := Events(algorithm), steps=3, epochs=2)  # the count goes on over epochs
    assert events.order == order


def test_each_steps_by_its_own_schedule() -> None:
    algorithm = make(
        ZSKT,
        student_steps=2,
        generator_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1),
        scheduler_interval="step",
    )
    fit(algorithm, steps=4)
    assert algorithm.generation.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**2)
    assert algorithm.optimizers().param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**4)


@pytest.mark.parametrize(("kind", "shared"), [(DAFL, True), (DFAD, False), (ZSKT, False)])
def test_on_whose_images(kind: type[DataFree], shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAFL shows one batch to both; the others draw another one for the generator."""
    algorithm = make(kind, lr=0.0, **({} if kind is DAFL else {"student_steps": 1}))
    judged: list[Tensor] = []
    seen: list[Tensor] = []
    objective = algorithm.objective
    monkeypatch.setattr(algorithm, "objective", lambda made: [judged.append(made), objective(made)][1])
    algorithm.distiller.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fit(algorithm, steps=3)
    assert len(judged) == (2 if kind is DFAD else 3)
    assert {tuple(each.shape) for each in (*judged, *seen)} == {(BATCH, 1, 8, 8)}
    assert not any(each.requires_grad for each in seen)
    for made, looked_at in zip(judged, seen[-len(judged) :], strict=True):
        assert torch.equal(made, looked_at) == shared
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_student_sees_what_the_generator_has_just_learned(precision: str) -> None:
    """Where autocast keeps the weights that it has rounded, they are those from before the step."""
    algorithm = make(ZSKT, lr=10.0)
    seen: list[Tensor] = []
    generator = algorithm.generation.generator
    algorithm.distiller.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    drawn: list[Tensor] = []
    numbers = algorithm.generation.numbers
    algorithm.generation.numbers = lambda count: [drawn.append(numbers(count)), drawn[-1]][1]
    fit(algorithm, steps=1, precision=precision)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision != "32-true"), torch.no_grad():
        assert torch.equal(generator(drawn[0]), seen[0])


def test_the_count_of_images_is_all_that_the_data_gives() -> None:
    one, other = make(ZSKT), make(ZSKT)
    torch.manual_seed(1)
    first = one.training_step({"inputs": images()}, 0)
    torch.manual_seed(1)
    second = other.training_step({"inputs": 0 * images(), "labels": torch.zeros(BATCH)}, 0)
    assert torch.equal(first["loss"], second["loss"])
    assert first["parts"].keys() == {"kl", "layer1", "generator"}


def test_a_step_returns_the_loss_its_parts_and_their_weights() -> None:
    algorithm = make(DFAD, student_steps=2)
    fit(algorithm, events := Events(algorithm), steps=4)
    assert [output["parts"].keys() for output in events.outputs] == [{"l1"}, {"l1"}, {"l1", "generator"}, {"l1"}]
    for output in events.outputs:
        parts, weights = output["parts"], output["weights"]
        assert weights == {"l1": 1.0, "generator": 0.0} if "generator" in parts else {"l1": 1.0}
        torch.testing.assert_close(output["loss"], sum(weights[name] * part for name, part in parts.items()))


# What the generator is told


def entropy_base_10(logits: Tensor) -> Tensor:
    mean = logits.softmax(1).mean(0)
    return (mean * mean.log10()).sum()


def dafl(_: nn.Module, teacher: SmallCNN, x: Tensor) -> Tensor:
    logits = teacher(x)
    feature = teacher.pool(teacher.layer2(teacher.layer1(teacher.stem(x))))
    certain = F.cross_entropy(logits, logits.argmax(1))
    return 0.05 * certain + 5 * entropy_base_10(logits) - 0.01 * feature.abs().mean()


def dfad(student: nn.Module, teacher: SmallCNN, x: Tensor) -> Tensor:
    return -(student(x) - teacher(x)).abs().mean()


def zskt(student: nn.Module, teacher: SmallCNN, x: Tensor) -> Tensor:
    p, q = teacher(x).softmax(1), student(x).softmax(1)
    return -2 * (p * (p / q).log()).mean()


@pytest.mark.parametrize(("kind", "formula"), [(DAFL, dafl), (DFAD, dfad), (ZSKT, zskt)])
def test_the_objective_and_its_gradient_through_both_networks(kind: type[DataFree], formula: Any) -> None:
    """With copies that are free to keep what they like: the student in train mode, the teacher in eval mode."""
    algorithm = make(kind)
    algorithm.student.train()
    copies = copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.teacher)
    found, expected = ((images() + 0.1).requires_grad_() for _ in range(2))
    value, right = algorithm.objective(found), formula(*copies, expected)
    value.backward()
    right.backward()
    torch.testing.assert_close(value, right)
    torch.testing.assert_close(found.grad, expected.grad)
    assert (found.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_reaches_every_layer_of_the_generator(kind: type[DataFree]) -> None:
    algorithm = make(kind, lr=0.0)
    algorithm.generation.step(algorithm.objective(fake(algorithm)))
    gradients = {name: p.grad for name, p in algorithm.generation.generator.named_parameters() if name.endswith("t")}
    assert len(gradients) >= 7
    assert all(gradient.any() for gradient in gradients.values()), gradients.keys()


def test_a_step_follows_the_gradient_of_its_own_loss_alone() -> None:
    algorithm = make(DFAD, lr=0.1)
    weight = algorithm.generation.generator.start[0].weight
    for factor in (3.0, 5.0):
        before = weight.detach().clone()
        algorithm.generation.step(factor * weight.sum())
        torch.testing.assert_close(weight.detach(), before - 0.1 * factor)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_gets_better_at_it(kind: type[DataFree]) -> None:
    algorithm = make(kind, lr=0.3)
    torch.manual_seed(0)
    numbers = algorithm.generation.numbers(32)
    losses: list[float] = []
    for _ in range(30):
        loss = algorithm.objective(algorithm.generation.generator(numbers))
        algorithm.generation.step(loss)
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1 * abs(losses[0]) * (kind is not DAFL)


def test_the_weights_of_the_objectives() -> None:
    x = images()
    assert torch.equal(make(DFAD, weight=3.0).objective(x), 3 * make(DFAD).objective(x))
    assert torch.equal(make(ZSKT, weight=4.0).objective(x), 2 * make(ZSKT).objective(x))
    none = {"one_hot": 0.0, "entropy": 0.0, "activation": 0.0}
    parts = [make(DAFL, **{**none, name: 1.0}).objective(x) for name in none]
    torch.testing.assert_close(
        make(DAFL).objective(x), sum(w * part for w, part in zip((0.05, 5, 0.01), parts, strict=True))
    )
    assert make(DAFL, **none).objective(x) == 0


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """They begin with the generator of the first, and step by the mean of their gradients."""
    expected = data_free_processes.in_one()
    for found in data_free_processes.in_two(tmp_path):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


# Samples and rehearsal


def test_samples_are_always_the_same_and_change_nothing() -> None:
    algorithm = make(DAFL)
    before, random = state(algorithm.generation.generator), torch.get_rng_state()
    found = algorithm.samples(9)
    assert found.shape == (9, 1, 8, 8)
    assert torch.equal(algorithm.samples(9), found)
    assert same(state(algorithm.generation.generator), before)
    assert torch.equal(torch.get_rng_state(), random)
    algorithm.generation.step(algorithm.objective(fake(algorithm)))
    assert not torch.equal(algorithm.samples(9), found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rehearsal_changes_nothing(kind: type[DataFree]) -> None:
    algorithm = make(kind)
    models = algorithm.student, algorithm.teacher, algorithm.generation.generator
    before, random = [state(model) for model in models], torch.get_rng_state()
    algorithm.rehearse({"inputs": images()})
    assert all(same(state(model), old) for model, old in zip(models, before, strict=True))
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("changed", "batch", "message"),
    [
        (
            {"generator": DAFLGenerator(image_size=12, latent=5, hidden=4, channels=3)},
            {"inputs": images()},
            "algorithm.generator: the generator's images are not like those of the data; "
            "expected images of shape (1, 8, 8), got (3, 12, 12). Set its image_size and channels.",
        ),
        (
            {},
            {"inputs": {"images": images()}},
            "data: data-free distillation is for images alone; expected a Tensor, got dict.",
        ),
        (
            {"feature": "pol"},
            {"inputs": images()},
            "algorithm.feature: SmallCNN has no module 'pol'. Did you mean",
        ),
    ],
)
def test_what_a_rehearsal_refuses(changed: dict[str, Any], batch: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        make(DAFL, **changed).rehearse(batch)


# Refusals


class NoLatent(nn.Module):
    pass


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"task_weight": 0.5},
            "task_weight: generated images have no labels; expected 0, got 0.5. The student learns from the terms "
            "alone.",
        ),
        ({"student_steps": 0}, "algorithm: bad student_steps; expected 1 or more, got 0."),
        (
            {"generator": NoLatent()},
            "algorithm.generator: NoLatent does not say how many random numbers it takes; "
            "expected an attribute latent, 1 or more, got None.",
        ),
        (
            {"lr": -1.0},
            "algorithm.generator_optimizer: the generator's optimizer or its scheduler cannot be made: "
            "Invalid learning rate: -1.0.",
        ),
        (
            {"generator_scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o)},
            "algorithm.generator_optimizer: the generator's optimizer or its scheduler cannot be made: StepLR.__init",
        ),
    ],
)
def test_bad_arguments(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        make(DFAD, **changed)


def test_distillers_that_it_cannot_train() -> None:
    kl = Term(KLDivergence())
    two = {"a": SmallCNN(width=3), "b": SmallCNN(width=3)}
    mapped = Teacher(SmallCNN(num_classes=12, width=3), classes=range(10))
    for distiller, message in (
        (
            Distiller(SmallCNN(), SmallCNN(), terms={}),
            "terms: there is nothing to learn from; expected at least one, got none.",
        ),
        (Distiller(SmallCNN(), two, terms={}), "terms: there is nothing to learn from; expected at least one"),
        (
            Distiller(SmallCNN(), two, terms={"kl": Term(KLDivergence(), teacher="a/")}),
            "teacher: there must be one teacher; got ['a', 'b'].",
        ),
        (
            Distiller(SmallCNN(), mapped, terms={"kl": kl}),
            "teacher: the teacher must take the student's inputs and have its classes; "
            "got a Teacher with a transform or a map of classes. Put both into its network.",
        ),
        (
            Distiller(SmallCNN(), SmallCNN(), terms={"generator": kl}),
            "terms.generator: this name has a meaning in metrics.csv. Rename it.",
        ),
    ):
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
            make(DFAD, distiller)


def test_trainers_that_it_cannot_work_under() -> None:
    """A scaler would scale the student's loss alone, and could skip its steps."""

    def refused(message: str, **changed: Any) -> None:
        plain = {"strategy": SingleDeviceStrategy(), "precision": "32-true", "accumulate_grad_batches": 1}
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
            _expect_trainer(SimpleNamespace(**plain | changed))

    what = "a generator cannot be trained like this beside the student"
    refused(
        f"trainer.precision: {what}; expected one without a gradient scaler, such as bf16-mixed, got 16-mixed.",
        precision="16-mixed",
    )
    refused(
        f"trainer.accumulate_grad_batches: {what}; expected 1: each batch is a step; choose a larger one, got 2.",
        accumulate_grad_batches=2,
    )
    refused(f"trainer.strategy: {what}; expected ddp, got FSDPStrategy.", strategy=FSDPStrategy())
    _expect_trainer(SimpleNamespace(strategy=DDPStrategy(), precision="bf16-mixed", accumulate_grad_batches=1))


def test_it_is_refused_before_the_first_step() -> None:
    algorithm = make(DFAD)
    before = state(algorithm.student)
    with pytest.raises(StillroomError, match=r"^trainer\.accumulate_grad_batches: "):
        fit(algorithm, accumulate_grad_batches=2)
    assert same(state(algorithm.student), before)


# The schedule of DAFL


def test_the_warm_up_and_the_milestones() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = WarmUpMultiStepLR(optimizer, warm_up=4, milestones=[6, 8])
    rates: list[float] = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 0.2, 0.2, 0.02, 0.02])


@pytest.mark.parametrize(("warm_up", "milestones"), [(0, []), (1, [5, 3])])
def test_no_such_schedule(warm_up: int, milestones: list[int]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    message = (
        "this is no schedule of a learning rate; expected warm_up >= 1, milestones in ascending order, "
        f"got warm_up={warm_up}, milestones={milestones}."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        WarmUpMultiStepLR(optimizer, warm_up=warm_up, milestones=milestones)


def test_the_distiller_is_ready_for_all_three() -> None:
    for kind in KINDS:
        assert (
            set(distiller_for(kind).terms) == {"DAFL": {"kl"}, "DFAD": {"l1"}, "ZSKT": {"kl", "layer1"}}[kind.__name__]
        )
