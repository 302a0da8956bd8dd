"""One optimizer step sees as many samples as a recipe says, whatever the number of processes."""

from __future__ import annotations

import re

import pytest
from tiny_runs import same_bits

from stillroom.errors import StillroomError
from stillroom.recipes.trainer import TrainerSettings
from stillroom.runs import read_recipe, train

QUICK = ("teacher=null", "terms={}", "trainer.max_epochs=1", "trainer.progress=false", "trainer.limit_train_batches=4")


@pytest.mark.parametrize(("batch_size", "processes", "rounds"), [(8, 1, 8), (8, 4, 2), (64, 1, 1), (16, 4, 1)])
def test_batches_are_accumulated_until_there_are_so_many(batch_size: int, processes: int, rounds: int) -> None:
    settings = TrainerSettings(max_epochs=1, total_batch=64)
    assert settings.accumulated(batch_size=batch_size, processes=processes) == rounds
    assert TrainerSettings(max_epochs=1, accumulate_grad_batches=3).accumulated(batch_size=5, processes=2) == 3


@pytest.mark.parametrize(("batch_size", "processes"), [(24, 1), (128, 1), (16, 8)])
def test_a_total_that_cannot_be_made(batch_size: int, processes: int) -> None:
    message = (
        f"trainer.total_batch: the total batch cannot be made of whole batches; expected a multiple of "
        f"{batch_size * processes} (batch_size {batch_size} in {processes} process(es)), got 64. Choose another "
        "data.batch_size."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        TrainerSettings(max_epochs=1, total_batch=64).accumulated(batch_size=batch_size, processes=processes)


def test_two_rules_at_once() -> None:
    got = "total_batch=64, accumulate_grad_batches=2"
    message = f"trainer: one of the two decides how many batches make a step; got {got}."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        TrainerSettings(max_epochs=1, total_batch=64, accumulate_grad_batches=2).accumulated(batch_size=8, processes=1)


def test_it_is_accumulation(tmp_path) -> None:
    by_total = train(read_recipe("digits", [*QUICK, "trainer.total_batch=128"]), out=tmp_path / "a")
    by_rounds = train(read_recipe("digits", [*QUICK, "trainer.accumulate_grad_batches=2"]), out=tmp_path / "b")
    each = train(read_recipe("digits", QUICK), out=tmp_path / "c")
    assert (by_total.results.steps, each.results.steps) == (2, 4)
    assert same_bits(by_total.model, by_rounds.model)
    assert not same_bits(by_total.model, each.model)


def test_a_teacher_is_found_as_before() -> None:
    """A key that says nothing, and one that only looks, change no hash."""
    plain, looks, steps = (
        read_recipe("digits", words).fingerprint()
        for words in ([], ["trainer.check=false"], ["trainer.total_batch=64"])
    )
    assert plain == looks
    assert plain != steps
