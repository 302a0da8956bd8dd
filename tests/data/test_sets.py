import random

import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset
from torchvision.datasets import FakeData

from stillroom.data import Sets
from stillroom.errors import StillroomError

PAIRS = [(torch.zeros(2), index % 3) for index in range(9)]


class Named(TensorDataset):
    classes = ("cat", "dog")


class Labelled(list):
    targets = (0, 4, 1)


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (Named(torch.zeros(3, 2), torch.zeros(3)), ["cat", "dog"]),
        (Subset(Subset(Named(torch.zeros(3, 2), torch.zeros(3)), [0, 1]), [0]), ["cat", "dog"]),
        (Labelled(PAIRS[:3]), ["0", "1", "2", "3", "4"]),
        (TensorDataset(torch.zeros(3, 2), torch.tensor([0, 2, 1])), ["0", "1", "2"]),
    ],
)
def test_the_classes_come_from_the_training_set(train, expected):
    data = Sets(train, PAIRS)
    assert (data.class_names, data.num_classes) == (expected, len(expected))


def test_given_class_names_come_first():
    assert Sets(Labelled(PAIRS), PAIRS, class_names=["a", "b", "c"]).class_names == ["a", "b", "c"]


@pytest.mark.parametrize("train", [PAIRS, ConcatDataset([PAIRS, PAIRS]), TensorDataset(torch.randn(3, 2)), FakeData(3)])
def test_unknown_classes_are_an_error_only_when_asked_for(train):
    data = Sets(train, PAIRS)
    assert data.sample(2)["labels"].tolist() == [0, 1]
    with pytest.raises(
        StillroomError, match=f"expected a training set with .*, got {type(train).__name__}. Give class"
    ):
        _ = data.class_names


@pytest.mark.parametrize("python_too", [True, False])
def test_draws_from_python_are_keyed_unless_told_otherwise(python_too):
    class Drawing(TensorDataset):
        def __getitem__(self, index):
            return torch.tensor([random.random(), torch.rand(()).item()])

    data = Sets(PAIRS, Drawing(torch.zeros(3)), python_too=python_too)
    same = (data.sample(3)["inputs"] == data.sample(3)["inputs"]).all(0)
    assert same.tolist() == [python_too, True]


def test_without_a_test_set_there_is_nothing_to_test():
    with pytest.raises(StillroomError, match="Sets has no test set"):
        Sets(PAIRS, PAIRS).test_dataloader()
    assert len(Sets(PAIRS, PAIRS, PAIRS, batch_size=4).test_dataloader()) == 3


def test_nobody_knows_how_an_image_file_becomes_an_input(tmp_path):
    with pytest.raises(StillroomError, match="Sets does not tell how an image file becomes an input"):
        Sets(PAIRS, PAIRS).transform_image(tmp_path / "a.png")
