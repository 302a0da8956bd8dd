"""Methods that prepare something before the student learns the task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from stillroom import Between, Distiller, StillroomError, Term
from stillroom.algorithms import FactorStage, Offline
from stillroom.connectors import Paraphraser, Translator
from stillroom.losses import FactorTransfer, KLDivergence
from stillroom.models import SmallCNN
from stillroom.runs import Recipe, read_recipe, train
from stillroom.runs.train import resume


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (6,), generator=generator)
    return {"inputs": torch.randn(6, 1, 8, 8, generator=generator), "labels": labels}


def made(**arguments: object) -> tuple[FactorStage, Distiller]:
    torch.manual_seed(0)
    student, teacher = SmallCNN(num_classes=3, width=2), SmallCNN(num_classes=3, width=4)
    factor = Term(
        FactorTransfer(),
        student="layer2",
        teacher="layer2",
        connector=Translator(4, 3),
        teacher_connector=Paraphraser(8, 3),
        weight=2.0,
    )
    distiller = Distiller(student, teacher, terms={"ft": factor, "kl": Term(KLDivergence())})
    distiller.prepare(batch()["inputs"])
    return FactorStage(distiller, optimizer=sgd, **arguments), distiller


def step(algorithm: FactorStage, optimizer: torch.optim.Optimizer) -> dict[str, object]:
    optimizer.zero_grad()
    found = algorithm.training_step(batch(), 0)
    found["loss"].backward()
    optimizer.step()
    return found


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def at(algorithm: FactorStage, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(algorithm), "current_epoch", property(lambda _: epoch))
    algorithm.distiller.at(epoch=epoch)


def test_first_the_paraphraser_alone_then_the_student_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, distiller = made(paraphrase_epochs=2)
    optimizer = algorithm.configure_optimizers()
    student, translator = state(distiller.student), state(distiller.connectors)
    teacher = distiller.teachers["teacher"].network
    before, paraphraser = state(teacher), distiller.teacher_connectors["ft"]
    at(algorithm, 0, monkeypatch)
    expected = paraphraser.reconstruct(feature := teacher.layer2(teacher.layer1(teacher.stem(batch()["inputs"]))))
    found = step(algorithm, optimizer)
    torch.testing.assert_close(found["loss"], (expected - feature).square().mean())
    assert found["parts"].keys() == found["weights"].keys() == {"paraphrase"}
    at(algorithm, 1, monkeypatch)
    errors = [step(algorithm, optimizer)["loss"].item() for _ in range(15)]
    assert errors[-1] < errors[0]
    assert same(student, state(distiller.student)) and same(translator, state(distiller.connectors))
    fixed = state(paraphraser)
    at(algorithm, 2, monkeypatch)
    for parameter in paraphraser.parameters():
        parameter.grad = None
    found = step(algorithm, optimizer)
    assert found["parts"].keys() == {"ft", "kl", "task"}
    assert same(fixed, state(paraphraser)) and same(before, state(teacher))
    assert not same(student, state(distiller.student)) and not same(translator, state(distiller.connectors))


def test_messages() -> None:
    message = "algorithm.paraphrase_epochs: the first stage has no epoch; expected at least 1, got 0."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        made(paraphrase_epochs=0)
    distiller = Distiller(SmallCNN(width=2), SmallCNN(width=4), terms={"kl": Term(KLDivergence())})
    message = "algorithm: no term has a paraphraser to train; expected teacher_connector: Paraphraser."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        FactorStage(distiller, optimizer=sgd)


def test_the_task_may_begin_later(monkeypatch: pytest.MonkeyPatch) -> None:
    _, distiller = made()
    algorithm = Offline(distiller, optimizer=sgd, task_weight=Between(0.5, start=2))
    for epoch, parts in ((0, {"ft", "kl"}), (1, {"ft", "kl"}), (2, {"ft", "kl", "task"})):
        at(algorithm, epoch, monkeypatch)
        assert algorithm.task_weight == (0.5 if epoch == 2 else 0)
        assert algorithm.training_step(batch(), 0)["parts"].keys() == parts


# As runs


def two_stage(variant: str, *words: str) -> Recipe:
    quick = ["trainer.max_epochs=4", "trainer.checkpoint_every=1", "trainer.progress=false", "teacher.check=false"]
    own = [
        "teacher.trainer.max_epochs=1",
        "teacher.trainer.progress=false",
        "teacher.model.width=4",
        "data.limit_per_class=20",
    ]
    return read_recipe("digits-two-stage", [f"variant={variant}", *quick, *own, *words])


@pytest.mark.parametrize("variant", ["ft", "ab"])
def test_a_run_is_resumed_in_either_stage(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {
        "ft": ["algorithm.paraphrase_epochs=2", "terms.ft.teacher_connector.in_channels=8"],
        "ab": ["terms.ab.weight.stop=2", "task_weight.start=2", "terms.ab.connector.out_channels=8"],
    }[variant]
    run = train(two_stage(variant, *words), out="whole")
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    rows = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()
    header = rows[0].split(",")
    assert {"paraphrase", "ft", "task"} <= set(header) if variant == "ft" else {"ab", "task"} <= set(header)
    assert run.results.epochs == 4
    for epoch in (1, 3):
        for name in ("results.json", "model.json", "model.safetensors"):
            (tmp_path / "whole" / name).unlink()
        resume(tmp_path / "whole" / "checkpoints" / f"epoch-{epoch}.ckpt")
        assert (tmp_path / "whole" / "model.safetensors").read_bytes() == whole


def test_the_schedule_of_the_task_is_kept_in_the_recipe_and_alone_has_the_task_from_the_first_step() -> None:
    recipe = two_stage("ab")
    assert recipe.plain()["task_weight"] == {
        "class_path": "stillroom.distillers.Between",
        "init_args": {"weight": 1.0, "start": 5, "stop": None, "unit": "epoch"},
    }
    assert recipe.without_teacher().task_weight == 1.0
    assert two_stage("ab", "task_weight=0.5").task_weight == 0.5
