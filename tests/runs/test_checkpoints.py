"""What the checkpoint files are: the best one, every n-th, never a damaged one."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from stillroom.data import Sets
from stillroom.errors import StillroomError
from stillroom.runs.checkpoints import Checkpoints, _seal, read_checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


class Scored(LightningModule):
    """Its accuracies are told beforehand, one per epoch."""

    def __init__(self, accuracies, name="val_accuracy"):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.accuracies, self.name = accuracies, name

    def training_step(self, batch, batch_idx):
        return (self.weight - batch["inputs"].mean()) ** 2

    def validation_step(self, batch, batch_idx):
        self.log(self.name, torch.tensor(self.accuracies[self.current_epoch]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(callback, module, *, epochs, resume=None, **options):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    samples = [(torch.tensor([float(index)]), 0) for index in range(8)]
    trainer.fit(module, Sets(samples, samples, batch_size=2), ckpt_path=resume, weights_only=True)


def epoch_of(path):
    return read_checkpoint(path)["epoch"]


def test_the_first_of_equally_good_epochs_is_the_best(tmp_path):
    callback = Checkpoints(tmp_path)
    fit(callback, Scored([0.2, 0.7, 0.7, 0.4]), epochs=4)
    assert (callback.best_epoch, callback.best_value) == (1, pytest.approx(0.7))
    files = tmp_path / "checkpoints"
    assert (epoch_of(files / "best.ckpt"), epoch_of(files / "last.ckpt")) == (1, 3)
    assert sorted(path.name for path in files.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_resumed_training_remembers_its_best_epoch_and_its_time(tmp_path):
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    fit(first, Scored([0.9, 0.1, 0.5]), epochs=2)
    last = tmp_path / "checkpoints" / "last.ckpt"
    before = read_checkpoint(last)["callbacks"]["Checkpoints"]
    fit(second, Scored([0.9, 0.1, 0.5]), epochs=3, resume=last)
    assert second.best_epoch == 0
    assert epoch_of(tmp_path / "checkpoints" / "best.ckpt") == 0
    assert before["elapsed"] > 0
    assert second.elapsed > before["elapsed"]


def test_a_value_that_is_not_a_number_is_never_the_best(tmp_path):
    fit(Checkpoints(tmp_path), Scored([float("nan")]), epochs=1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_every_second_epoch_is_kept_when_asked(tmp_path):
    fit(Checkpoints(tmp_path, monitor=None, every_n_epochs=2), Scored([0.0] * 5), epochs=5)
    files = tmp_path / "checkpoints"
    assert sorted(path.name for path in files.iterdir()) == ["epoch-2.ckpt", "epoch-4.ckpt", "last.ckpt"]
    assert epoch_of(files / "epoch-2.ckpt") == 1


def steps_kept(folder, *, epochs=3, **options):
    """By file, the optimizer step that it holds; an epoch has 4 batches."""
    accumulate = options.pop("accumulate", 1)
    callback = Checkpoints(folder, monitor=None, seconds=1e9, **options)
    fit(callback, Scored([0.0] * epochs), epochs=epochs, accumulate_grad_batches=accumulate)
    files = sorted((folder / "checkpoints").glob("*-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    return {path.name: read_checkpoint(path)["global_step"] for path in files}


def test_a_file_of_every_nth_step_is_kept_when_asked(tmp_path):
    expected = {f"step-{step}.ckpt": step for step in (3, 6, 9, 12)}
    assert steps_kept(tmp_path, every_n_steps=3) == expected


def test_a_step_within_accumulated_batches_or_at_the_end_of_an_epoch_is_kept_as_well(tmp_path):
    assert steps_kept(tmp_path, every_n_steps=2, accumulate=2) == {f"step-{step}.ckpt": step for step in (2, 4, 6)}


def test_of_the_files_with_a_number_the_newest_are_kept(tmp_path):
    kept = steps_kept(tmp_path, every_n_steps=3, every_n_epochs=2, keep=2)
    assert kept == {"step-9.ckpt": 9, "step-12.ckpt": 12}
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_training_goes_on_from_the_file_of_a_step(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    whole = steps_kept(first, every_n_steps=3)
    callback = Checkpoints(second, monitor=None, every_n_steps=3)
    fit(callback, Scored([0.0] * 3), epochs=3, resume=first / "checkpoints" / "step-6.ckpt")
    again = sorted(path.name for path in (second / "checkpoints").glob("step-*"))
    assert again == sorted(name for name, step in whole.items() if step > 6)
    ends = [read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]["weight"] for folder in (first, second)]
    assert torch.equal(*ends)


def test_within_an_epoch_files_are_written_by_time(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoints, "_save", lambda _, trainer, *__: saved.append(trainer.fit_loop.batch_idx))
    fit(Checkpoints(tmp_path, seconds=0), Scored([0.0]), epochs=1)
    fit(Checkpoints(tmp_path, seconds=1e9), Scored([0.0]), epochs=1)
    assert saved == [0, 1, 2, 3, 3]


def test_a_validation_without_the_metric_is_an_error(tmp_path):
    with pytest.raises(StillroomError, match=r"expected val_accuracy, got \['val_acc'\]. Did you mean 'val_acc'\?"):
        fit(Checkpoints(tmp_path), Scored([0.0], name="val_acc"), epochs=1)


def test_max_steps_is_refused(tmp_path):
    with pytest.raises(StillroomError, match=r"expected max_epochs alone, got max_steps=3\. Leave max_steps out"):
        fit(Checkpoints(tmp_path), Scored([0.0]), epochs=1, max_steps=3)


def test_a_fast_trial_is_not_refused(tmp_path):
    fit(Checkpoints(tmp_path), Scored([0.5]), epochs=1, fast_dev_run=1)


@pytest.mark.parametrize("name", ["every_n_epochs", "every_n_steps", "keep"])
def test_counts_are_at_least_one(tmp_path, name):
    with pytest.raises(StillroomError, match=f"{name} is out of range; expected 1 or more, or none, got 0"):
        Checkpoints(tmp_path, **{name: 0})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fit(Checkpoints(folder, monitor=None), Scored([0.0]), epochs=1)
    return (folder / "checkpoints" / "last.ckpt").read_bytes()


def test_the_file_is_one_that_torch_reads(written, tmp_path):
    path = tmp_path / "copied.ckpt"
    path.write_bytes(written)
    assert torch.load(path, weights_only=True).keys() == read_checkpoint(path).keys()
    assert torch.load(path, weights_only=True, mmap=True)["epoch"] == 0


def test_no_flipped_bit_goes_unnoticed(written, tmp_path):
    path = tmp_path / "flipped.ckpt"
    for place in [*range(0, len(written), len(written) // 200), *range(len(written) - 90, len(written))]:
        damaged = bytearray(written)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(StillroomError, match="damaged, cut short, or not one of stillroom's"):
            read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 1000, -64, -1])
def test_no_missing_end_goes_unnoticed(written, tmp_path, kept):
    path = tmp_path / "short.ckpt"
    path.write_bytes(written[:kept])
    with pytest.raises(
        StillroomError, match=r"short.ckpt: the checkpoint is damaged, .*expected its SHA-256 at its end"
    ):
        read_checkpoint(path)


def test_an_absent_file_and_one_of_another_program_are_refused(tmp_path):
    with pytest.raises(StillroomError, match=r"none\.ckpt: there is no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save({"a": torch.ones(2)}, tmp_path / "other.ckpt")
    with pytest.raises(StillroomError, match="not one of stillroom's"):
        read_checkpoint(tmp_path / "other.ckpt")


def test_a_file_with_other_objects_is_refused(tmp_path):
    torch.save({"module": torch.nn.Linear(1, 1)}, tmp_path / "objects.ckpt")
    _seal(tmp_path / "objects.ckpt")
    with pytest.raises(StillroomError, match=r"objects\.ckpt: the checkpoint holds more than tensors and plain values"):
        read_checkpoint(tmp_path / "objects.ckpt")
