import random

import numpy as np
import pytest
import torch

from stillroom.data import draw_key, drawing


def test_a_key_is_a_seed_that_differs_in_every_number_and_in_their_order():
    numbers = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 12), (0, 1), (1, 2, 0), (0, 1, 2, 0)]
    keys = {draw_key(*each) for each in numbers}
    assert len(keys) == len(numbers)
    assert all(0 <= key < 2**63 for key in keys)
    assert len({draw_key(0, epoch, index) for epoch in range(50) for index in range(1000)}) == 50_000


def test_a_key_is_the_same_everywhere_and_for_good():
    assert draw_key(3, 1, 41) == 5614338301151481076


def test_draws_inside_come_from_the_key_alone():
    def drawn(*key):
        with drawing(*key):
            return torch.rand(3), torch.randn(2), torch.randperm(5)

    first = drawn(0, 1, 2)
    torch.manual_seed(99)
    assert all(torch.equal(one, other) for one, other in zip(first, drawn(0, 1, 2), strict=True))
    assert not torch.equal(first[0], drawn(0, 1, 3)[0])
    assert not torch.equal(first[0], drawn(0, 2, 2)[0])
    assert not torch.equal(first[0], drawn(1, 1, 2)[0])


def everything():
    return torch.rand(2).tolist(), random.random(), np.random.random(), torch.randn(1).item(), np.random.normal()


def seeded():
    torch.manual_seed(4)
    random.seed(4)
    np.random.seed(4)
    torch.randn(1), np.random.normal(), random.gauss(0, 1)  # each keeps a second normal number for later


@pytest.mark.parametrize("raises", [False, True])
def test_the_generators_go_on_as_if_nothing_had_been_drawn(raises):
    seeded()
    expected = everything()
    seeded()
    try:
        with drawing(0, 0, 0, python_too=True):
            torch.randn(3), random.gauss(0, 1), np.random.normal()
            if raises:
                raise KeyError
    except KeyError:
        pass
    assert everything() == expected


def test_python_and_numpy_are_keyed_when_asked():
    def drawn(**options):
        with drawing(0, 0, 7, **options):
            return random.random(), np.random.random()

    seeded()
    first, unkeyed = drawn(python_too=True), drawn()
    assert all(one != other for one, other in zip(drawn(), unkeyed, strict=True))
    assert drawn(python_too=True) == first
