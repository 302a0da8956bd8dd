"""Keyed randomness: what a sample draws depends on (seed, epoch, index) alone.

Not on the worker that makes it, nor on the samples before it, nor on a resume in between; so a view can be made again.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def draw_key(*numbers: int) -> int:
    """A seed of 63 bits for these numbers, such as (seed, epoch, index), in this order.

    A hash and not a sum of multiples, in which different numbers meet on the same seed.
    """
    text = ",".join(map(str, numbers))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def batch_draws(seed: int, epoch: int, batch: int) -> torch.Generator:
    """What all samples of a batch draw alike, in all processes that train together.

    Args:
        seed: the run's seed.
        epoch: counted from 0.
        batch: its place in the epoch.
    """
    # A fourth number: no sample has the key of a batch, nor has the training step of any process.
    return torch.Generator().manual_seed(draw_key(seed, epoch, batch, -1))


@contextmanager
def drawing(seed: int, epoch: int, index: int, *, python_too: bool = False) -> Generator[None]:
    """Everything drawn inside comes from the key (seed, epoch, index); the generators are as before afterwards.

    It covers torch's default CPU generator, from which all transforms of torchvision draw. Not for several threads of
    one process at once, since they share that generator.

    Args:
        seed: the run's seed.
        epoch: counted from 0.
        index: the sample's place in its set.
        python_too: do the same for the global generators of ``random`` and ``numpy.random``, for transforms that draw
            from these.
    """
    key = draw_key(seed, epoch, index)
    # The generator's own methods: torch.manual_seed and fork_rng visit every device and take 60 times as long.
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(key)
    try:
        if python_too:
            with _drawing_in_python(key):
                yield
        else:
            yield
    finally:
        generator.set_state(state)


@contextmanager
def _drawing_in_python(key: int) -> Generator[None]:
    of_python, of_numpy = random.getstate(), np.random.get_state()
    random.seed(key)
    np.random.seed(key % 2**32)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
