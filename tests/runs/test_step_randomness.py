from types import SimpleNamespace

import torch

from stillroom.runs.randomness import StepRandomness


def drawn(*, seed=0, epoch=0, batch=0, rank=0):
    """What a step draws on the CPU."""
    trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    module = SimpleNamespace(device=torch.device("cpu"))
    StepRandomness(seed).on_train_batch_start(trainer, module, None, batch)
    return torch.nn.functional.dropout(torch.ones(64)).tolist()


def test_a_step_draws_the_same_whatever_was_drawn_before():
    first = drawn(seed=2, epoch=1, batch=5)
    torch.rand(3)
    assert drawn(seed=2, epoch=1, batch=5) == first


def test_each_step_and_each_process_draws_something_else():
    places = [{}, {"seed": 1}, {"epoch": 1}, {"batch": 1}, {"rank": 1}]
    assert len({tuple(drawn(**place)) for place in places}) == len(places)


def test_the_generator_of_the_device_is_seeded_too(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch, "get_device_module", lambda _: SimpleNamespace(manual_seed=seeds.append))
    trainer = SimpleNamespace(current_epoch=3, global_rank=0)
    for batch in (0, 1):
        StepRandomness(7).on_train_batch_start(trainer, SimpleNamespace(device=torch.device("cuda", 1)), None, batch)
        assert torch.initial_seed() == seeds[-1]
    assert seeds[0] != seeds[1]
