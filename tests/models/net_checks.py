"""What the tests of the networks for small images count and check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def size_and_work(make: Callable[[], nn.Module]) -> tuple[int, float]:
    """Parameters, and the millions of multiply-adds in convolutions and linear layers of one 32x32 image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = make().eval()
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 100)
    return parameters(net), counter.get_total_flops() / 2e6


def shapes_of_children(net: nn.Module, height: int = 32, width: int = 32) -> dict[str, tuple[int, ...]]:
    """Of the output of each child, without the batch, in the order in which they run; each runs once."""
    shapes: dict[str, tuple[int, ...]] = {}
    calls: Counter[str] = Counter()

    def note(name: str, out: Tensor) -> None:
        shapes[name] = tuple(out.shape[1:])
        calls[name] += 1

    for name, child in net.named_children():
        child.register_forward_hook(lambda _m, _x, out, name=name: note(name, out))
    with torch.no_grad():
        net.eval()(torch.randn(1, 3, height, width))
    assert set(calls.values()) == {1}
    assert calls.keys() == dict(net.named_children()).keys()
    return shapes


def check_gradients(net: nn.Module) -> None:
    """Every parameter takes part."""
    labels = torch.tensor([0, 1, 2, 0])
    nn.functional.cross_entropy(net.train()(torch.randn(4, 3, 32, 32)), labels).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert all(p.grad.any() for name, p in net.named_parameters() if name.endswith("weight"))


def check_export(net: nn.Module) -> None:
    """torch.export takes it with a free batch size, and the program computes what the network does."""
    net.eval()
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(net, (torch.randn(2, 3, 32, 32),), dynamic_shapes=batch).module()
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(program(images), net(images))
        torch.testing.assert_close(program(images[:1]), net(images[:1]))
