"""What a training was like: sums, times, and numbers that are none."""

import time
from types import SimpleNamespace

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.runs.history import History, Sums

OTHER_PROCESS = SimpleNamespace(is_global_zero=False, global_step=0)


def test_seconds_are_those_of_training(tmp_path):
    history = History(tmp_path, every=1)
    assert history.seconds == 0
    history.on_train_start(OTHER_PROCESS, None)
    time.sleep(0.01)
    running = history.seconds
    assert running > 0
    history.on_train_end(OTHER_PROCESS, None)
    ended = history.seconds
    assert ended >= running
    time.sleep(0.01)
    assert history.seconds == ended  # what is evaluated and measured then is no training


def test_seconds_go_on_after_a_resume(tmp_path):
    first = History(tmp_path, every=1)
    first.on_train_start(OTHER_PROCESS, None)
    time.sleep(0.01)
    state = first.state_dict()
    second = History(tmp_path, every=1)
    second.load_state_dict(state)
    assert second.seconds == state["seconds"]  # of a training that had ended already
    second.on_train_start(OTHER_PROCESS, None)
    assert second.seconds >= state["seconds"]


def test_sums_survive_a_resume():
    unbroken, broken = Sums(), Sums()
    values = [{"kl": torch.rand(()), "kl_weighted": torch.rand(())} for _ in range(5)]
    for value in values:
        unbroken.add(value)
    for value in values[:3]:
        broken.add(value)
    again = Sums()
    again.load(broken.state())
    for value in values[3:]:
        again.add(value)
    assert again.means() == unbroken.means()


def test_a_term_that_was_idle_at_times():
    """Its raw mean is over the steps in which it was computed, its weighted one over all."""
    sums = Sums()
    sums.add({"task": 1.0, "task_weighted": 1.0, "kl": 4.0, "kl_weighted": 2.0})
    sums.add({"task": 3.0, "task_weighted": 3.0})
    assert sums.means() == {"task": 2.0, "task_weighted": 2.0, "kl": 4.0, "kl_weighted": 1.0}


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_validation_loss_that_is_not_finite(tmp_path, loss):
    metrics = {"val_loss": torch.tensor(loss), "val_accuracy": torch.tensor(0.1)}
    trainer = SimpleNamespace(callback_metrics=metrics, sanity_checking=False)
    with pytest.raises(
        StillroomError, match=rf"^validation: the loss is not finite; got {loss}\. Look at the learning rate"
    ):
        History(tmp_path, every=1).on_validation_end(trainer, None)


@pytest.mark.parametrize(("name", "where"), [("task", "task"), ("hint", r"terms\.hint")])
def test_a_part_that_is_not_finite(tmp_path, name, where):
    """Where no step waits for the device, the row does."""
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])
    trainer = SimpleNamespace(current_epoch=0, global_step=1, optimizers=[optimizer], is_global_zero=False)
    history = History(tmp_path, every=1)
    history.on_train_batch_start(trainer, None, None, 0)
    parts = {name: torch.tensor(float("nan"))}
    outputs = {"loss": torch.tensor(float("nan")), "parts": parts, "weights": {name: 1.0}}
    with pytest.raises(StillroomError, match=rf"^{where}: the loss is not finite; got nan\. Look at the learning rate"):
        history.on_train_batch_end(trainer, None, outputs, None, 0)
