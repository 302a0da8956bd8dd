import inspect

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

import stillroom.data
from stillroom.data import DataModule, Sets
from stillroom.errors import StillroomError

MODULES = sorted(
    (each for each in vars(stillroom.data).values() if inspect.isclass(each) and issubclass(each, DataModule)),
    key=lambda each: each.__name__,
)
FROM_RECIPES = [each for each in MODULES if each not in (DataModule, Sets)]
PAIRS = [(torch.full((2,), float(index)), index % 3) for index in range(10)]


@pytest.mark.parametrize("kind", FROM_RECIPES)
def test_the_constructor_is_a_schema(kind):
    parameters = inspect.signature(kind).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    # An image of boxes holds several classes, and noise has none.
    limit = {"COCO": {"splits"}, "VOC": {"splits"}, "Noise": {"steps"}}.get(kind.__name__, {"limit_per_class"})
    assert {"batch_size", "num_workers", *limit} <= {parameter.name for parameter in parameters}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=DataModule)
    needed = {"Arrays": {"file": "some.npz"}, "Noise": {"shape": [1, 2, 2], "steps": 3}}.get(kind.__name__, {})
    spec = {"class_path": f"stillroom.data.{kind.__name__}", "init_args": {"batch_size": 7, **needed}}
    made = parser.instantiate(parser.parse_object({"data": spec})).data
    assert (type(made), made.batch_size, made.num_workers, made.seed) == (kind, 7, 0, 0)


@pytest.mark.parametrize("limit", [0, -3])
@pytest.mark.parametrize("name", ["Arrays", "CIFAR10", "CIFAR100", "Digits", "FashionMNIST", "ImageFolder", "MNIST"])
def test_a_limit_below_one_is_refused_before_anything_is_read(name, limit):
    needed = {"file": "none.npz"} if name == "Arrays" else {}
    message = f"^limit_per_class: this is out of range; expected 1 or more, or none, got {limit}\\.$"
    with pytest.raises(StillroomError, match=message):
        getattr(stillroom.data, name)(limit_per_class=limit, **needed)


@pytest.mark.parametrize("numbers", [{"batch_size": 0}, {"num_workers": -1}])
@pytest.mark.parametrize("kind", [stillroom.data.MNIST, stillroom.data.Digits])
def test_numbers_out_of_range_are_refused(kind, numbers):
    with pytest.raises(StillroomError, match=r"expected batch_size >= 1, num_workers >= 0, got batch_size=\d+, num_w"):
        kind(**numbers)


def noisy(value):
    return value + torch.rand(2)


class Noisy(torch.utils.data.Dataset):
    def __len__(self):
        return len(PAIRS)

    def __getitem__(self, index):
        value, label = PAIRS[index]
        return noisy(value), label


def test_the_seed_moves_the_training_and_nothing_else():
    def inputs(seed, part):
        data = Sets(Noisy(), Noisy(), Noisy(), batch_size=4)
        data.seed = seed
        return torch.cat([batch["inputs"] for batch in getattr(data, f"{part}_dataloader")()])

    first, again, other = inputs(3, "train"), inputs(3, "train"), inputs(4, "train")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.floor().tolist() != other.floor().tolist()  # another order, and not other noise alone
    for part in ("val", "test"):
        assert torch.equal(inputs(3, part), inputs(4, part))


def test_a_sample_is_the_beginning_of_the_validation_set():
    data = Sets([], PAIRS)
    assert data.sample(4)["index"].tolist() == [0, 1, 2, 3]
    assert data.sample(99)["labels"].tolist() == [index % 3 for index in range(10)]
    assert data.input_shape == (2,)
    with pytest.raises(StillroomError, match="a batch holds at least one sample; got 0 of 10"):
        data.sample(0)


@pytest.mark.parametrize(
    ("count", "size", "places"),
    [
        (4, 2, [[0, 2], [5, 7]]),
        (5, 2, [[0, 2], [4, 6, 8]]),
        (3, 8, [[0, 3, 6]]),
        (99, 4, [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]),
    ],
)
def test_samples_are_spread_over_a_set(count, size, places):
    data = Sets(PAIRS[:3], PAIRS, batch_size=size)
    state = torch.get_rng_state()
    batches = list(data.spread(count, split="validation"))
    assert torch.equal(torch.get_rng_state(), state)
    assert [batch["index"].tolist() for batch in batches] == places
    assert batches[0]["inputs"][1].tolist() == [float(places[0][1])] * 2
    assert list(Sets(PAIRS, []).spread(count, split="validation")) == []
    with pytest.raises(StillroomError, match="Sets has no test set"):
        data.spread(count, split="test")


def test_ranks_get_their_own_parts(monkeypatch):
    seen = []
    for rank in range(2):
        data = Sets(PAIRS, PAIRS, batch_size=3)
        data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=False)
        monkeypatch.setattr(Trainer, "world_size", 2)
        monkeypatch.setattr(Trainer, "global_rank", rank)
        seen.append(
            [
                sorted(i for b in loader for i in b["index"].tolist())
                for loader in (data.train_dataloader(), data.val_dataloader())
            ]
        )
    (train_0, val_0), (train_1, val_1) = seen
    assert sorted(train_0 + train_1) == list(range(10))
    assert (val_0, val_1) == ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])


class Watch(LightningModule):
    """Notes the order of the training."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["index"].tolist())
        return self.weight * batch["inputs"].sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_a_trainer_sees_another_order_in_each_epoch():
    data, module = Sets(PAIRS, PAIRS, batch_size=4, num_workers=1), Watch()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_epochs=2, enable_model_summary=False, limit_val_batches=0, **options).fit(
        module, data
    )
    loader = Sets(PAIRS, PAIRS, batch_size=4).train_dataloader()
    expected = []
    for epoch in range(2):
        loader.batches.set_epoch(epoch)
        expected += [batch["index"].tolist() for batch in loader]
    assert module.seen == expected
    assert sorted(index for batch in module.seen[3:] for index in batch) == list(range(10))
    assert module.seen[:3] != module.seen[3:]
