"""A generator of images and its own training, inside that of a student."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stillroom.algorithms.algorithm import OptimizerMaker
from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError

GeneratorSchedulerMaker = Callable[[Optimizer], LRScheduler]


class Generation:
    """A generator, its optimizer and the schedule of its learning rate.

    It is no module, so that the generator is no part of the algorithm that holds it: DDP would wait for gradients that
    are taken here already, and what reads a student from a checkpoint would meet a second network.

    Args:
        generator: called with numbers (N, latent) from a standard normal distribution it returns images (N, C, H, W);
            its attribute ``latent`` says how many it takes. It is trained in place and stays in train mode.
        optimizer: makes the optimizer of its parameters.
        scheduler: makes a scheduler of the optimizer, which steps with it.

    Raises:
        StillroomError: the generator has no ``latent``, or the optimizer or the scheduler cannot be made.
    """

    def __init__(
        self, generator: nn.Module, optimizer: OptimizerMaker, scheduler: GeneratorSchedulerMaker | None
    ) -> None:
        self.generator, self.latent = generator.train(), _latent(generator)
        try:
            self.optimizer = optimizer(generator.parameters())
            self.scheduler = None if scheduler is None else scheduler(self.optimizer)
        except (TypeError, ValueError) as error:
            said = " ".join(str(error).split()).rstrip(".")
            problem = f"the generator's optimizer or its scheduler cannot be made: {said}"
            raise StillroomError(problem, where="algorithm.generator_optimizer") from error
        self._restored: dict[str, Any] | None = None

    def start(self, device: torch.device, dtype: torch.dtype) -> None:
        """Where the training will be, with what was restored; all processes begin with the first one's generator."""
        self.generator.to(device, dtype)
        if self._restored is not None:
            self.generator.load_state_dict(self._restored["generator"])
            self.optimizer.load_state_dict(self._restored["optimizer"])
            if self.scheduler is not None:
                self.scheduler.load_state_dict(self._restored["scheduler"])
            self._restored = None
        if _processes() > 1:
            for tensor in (*self.generator.parameters(), *self.generator.buffers()):
                distributed.broadcast(tensor.detach(), src=0)

    def numbers(self, count: int) -> Tensor:
        """Drawn for so many images, (count, latent)."""
        like = next(self.generator.parameters())
        return torch.randn(count, self.latent, device=like.device, dtype=like.dtype)

    def step(self, loss: Tensor) -> None:
        """Move the generator down the gradient of the loss; no other parameter gets a gradient."""
        trained = [parameter for parameter in self.generator.parameters() if parameter.requires_grad]
        self.optimizer.zero_grad()
        loss.backward(inputs=trained)
        if (count := _processes()) > 1:
            for parameter in trained:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= count
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    def samples(self, count: int) -> Tensor:
        """Always of the same numbers, made as they are in training; nothing of the generator changes.

        Shape:
            (count, C, H, W), float32, on the CPU.
        """
        with untouched(self.generator):
            torch.default_generator.manual_seed(0)
            like = next(self.generator.parameters())
            return self.generator(torch.randn(count, self.latent).to(like)).float().cpu()

    def state(self) -> dict[str, Any]:
        """All that it takes to go on."""
        return {
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from this state when training starts: only then it is known on which device."""
        self._restored = state


def _latent(generator: nn.Module) -> int:
    latent = getattr(generator, "latent", None)
    if not isinstance(latent, int) or latent < 1:
        raise StillroomError(
            f"{type(generator).__name__} does not say how many random numbers it takes",
            where="algorithm.generator",
            expected="an attribute latent, 1 or more",
            got=repr(latent),
        )
    return latent


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
