"""A training that is killed again and again ends with the same bits as one that is left alone."""

import multiprocessing
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import Dataset

from stillroom.data import Sets
from stillroom.runs import checkpoints
from stillroom.runs.checkpoints import Checkpoints, read_checkpoint
from stillroom.runs.randomness import StepRandomness

EPOCHS, BATCHES = 3, 5


class Noisy(Dataset):
    """27 samples, each augmented from all three global generators."""

    def __init__(self):
        generator = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(27, 6, generator=generator)
        self.targets = torch.randint(3, (27,), generator=generator)

    def __len__(self):
        return 27

    def __getitem__(self, index):
        noise = torch.randn(6) + random.random() + float(np.random.normal())
        return self.inputs[index] + 0.1 * noise, self.targets[index]


class Student(LightningModule):
    """Has what usually breaks an exact resume: BatchNorm, dropout, momentum, a schedule per step, own sums."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("seen_in_epochs", torch.zeros(EPOCHS))

    def training_step(self, batch, batch_idx):
        self.seen += batch["index"].sum() * (batch_idx + 1)
        return nn.functional.cross_entropy(self.net(batch["inputs"]), batch["labels"])

    def on_train_epoch_end(self):
        self.seen_in_epochs[self.current_epoch] = self.seen
        self.seen.zero_()

    def validation_step(self, batch, batch_idx):
        right = self.net(batch["inputs"]).argmax(1) == batch["labels"]
        self.log("val_accuracy", right.float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class At(Callback):
    """Does something at one place: (hook, epoch, batch)."""

    def __init__(self, place, act):
        def hook(trainer, _, *args):
            batch = args[-1] if hook_name.startswith("on_train_batch") else trainer.fit_loop.batch_idx
            if (trainer.current_epoch, batch) == (epoch, at_batch) and not trainer.sanity_checking:
                act(trainer)

        hook_name, epoch, at_batch = place
        setattr(self, hook_name, hook)


def train(folder, *, workers, accumulate, seconds, callbacks=()):
    """Trains in ``folder``, from its last checkpoint if there is one."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    data = Sets(Noisy(), Noisy(), batch_size=6, num_workers=workers)
    data.seed = 7
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        accumulate_grad_batches=accumulate,
        callbacks=[Checkpoints(folder, seconds=seconds, every_n_epochs=2), StepRandomness(3), *callbacks],
        num_sanity_val_steps=1,
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = Path(folder) / "checkpoints" / "last.ckpt"
    student = Student()
    trainer.fit(student, data, ckpt_path=last if last.exists() else None, weights_only=True)


def die(_=None):
    os.kill(os.getpid(), signal.SIGKILL)


def train_until(folder, place, act, **options):
    """The body of a process; ``place`` None: nothing happens to it."""
    multiprocessing.set_start_method("fork", force=True)  # of the loader's workers, or each would import everything
    if place is not None and place[0] == "sealing":
        seal, moments = checkpoints._seal, iter(range(100))
        checkpoints._seal = lambda path: act() if next(moments) == place[1] else seal(path)
        train(folder, **options)
    else:
        train(folder, callbacks=[At(place, act)] if place else [], **options)


def in_process(folder, place, act=die, **options):
    process = multiprocessing.get_context("forkserver").Process(
        target=train_until, args=(folder, place, act), kwargs=options
    )
    process.start()
    process.join(300)
    return process.exitcode


def final(folder):
    """All that the last checkpoint of a training holds, but for times."""
    checkpoint = read_checkpoint(Path(folder) / "checkpoints" / "last.ckpt")
    kept = checkpoint["callbacks"]["Checkpoints"]
    del kept["elapsed"]
    keys = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "callbacks")
    return {key: checkpoint[key] for key in keys}, sorted(
        path.name for path in (Path(folder) / "checkpoints").iterdir()
    )


def assert_same(one, other, path=""):
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{place}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


KILLS = [
    ("on_train_batch_start", 0, 3),
    ("on_before_optimizer_step", 1, 1),
    ("on_train_batch_end", 1, 4),
    ("sealing", 0),
    ("on_validation_end", 1, 4),  # not at its start: torch's workers outlive a parent that dies while they start
    ("on_train_epoch_end", 1, 4),
    ("on_train_batch_start", 2, 0),
    ("on_train_batch_end", 2, 3),
]


@pytest.mark.parametrize(
    ("workers", "accumulate", "seconds"), [(0, 1, 0.0), (0, 2, 0.0), (2, 1, 0.0), (2, 2, 0.0), (2, 1, 1e9)]
)
def test_a_training_killed_many_times_ends_as_the_unbroken_one(tmp_path, workers, accumulate, seconds):
    options = {"workers": workers, "accumulate": accumulate, "seconds": seconds}
    assert in_process(tmp_path / "unbroken", None, **options) == 0
    for place in KILLS:
        assert in_process(tmp_path / "killed", place, **options) == -signal.SIGKILL, place
    assert in_process(tmp_path / "killed", None, **options) == 0
    assert_same(final(tmp_path / "killed"), final(tmp_path / "unbroken"))


def stop(trainer):
    trainer.should_stop = True


def terminate(_):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("act", [stop, terminate])
def test_a_training_asked_to_stop_saves_first_and_goes_on_from_there(tmp_path, act):
    options = {"workers": 0, "accumulate": 1, "seconds": 1e9}
    assert in_process(tmp_path / "unbroken", None, **options) == 0
    assert in_process(tmp_path / "stopped", ("on_train_batch_start", 1, 2), act, **options) == 0
    assert stopped_at(tmp_path / "stopped") == (1, 3)
    assert in_process(tmp_path / "stopped", None, **options) == 0
    assert_same(final(tmp_path / "stopped"), final(tmp_path / "unbroken"))


def test_with_pending_gradients_the_last_good_file_stays(tmp_path):
    options = {"workers": 0, "accumulate": 2, "seconds": 1e9}
    assert in_process(tmp_path, ("on_train_batch_start", 1, 2), terminate, **options) == 0
    assert stopped_at(tmp_path) == (1, 0)  # the end of epoch 0, where the next one begins


def stopped_at(folder):
    """(epochs done, batches done in the next)."""
    fit = read_checkpoint(folder / "checkpoints" / "last.ckpt")["loops"]["fit_loop"]
    state = fit["state_dict"]["combined_loader"][0]
    return state["epoch"], state["position"]
