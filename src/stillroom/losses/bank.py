"""What contrastive losses remember between steps: an embedding of every sample of the data set."""

from __future__ import annotations

import math

import torch
from torch import Tensor, distributed, nn

from stillroom.errors import StillroomError
from stillroom.losses.tensors import bmm, unit


class Bank(nn.Module):
    """A vector for every sample, which follows the sample's embedding; random at first, of about unit norm.

    Args:
        samples: how many samples the data set has.
        dim: width of an embedding.
    """

    rows: Tensor
    log_z: Tensor

    def __init__(self, samples: int, dim: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / dim)
        self.register_buffer("rows", torch.empty(samples, dim).uniform_(-bound, bound))
        self.register_buffer("log_z", torch.tensor(-math.inf))  # Z = 0: not yet known

    def forward(self, embedded: Tensor, chosen: Tensor, *, tau: float) -> Tensor:
        """``log x`` with ``x = exp(row · embedding / tau) / Z``, of each embedding and the rows chosen for it.

        Shape:
            embedded: (N, dim). chosen: (N, K) sample ids. Returns (N, K).
        """
        # For the gradient autograd keeps the rows of now, and `follow` changes them before it is asked for.
        rows = self.rows.to(embedded.dtype, copy=self.training)
        scores = inner_products(embedded, rows).gather(1, chosen) / tau
        return scores - self._normalizer(scores)

    @torch.no_grad()
    def follow(self, index: Tensor, embedded: Tensor, *, momentum: float) -> None:
        """The rows of those samples become ``momentum · row + (1 − momentum) · embedding``, at unit norm."""
        moved = momentum * self.rows[index] + (1 - momentum) * embedded
        write(self.rows, index, unit(moved, 1))

    @torch.no_grad()
    def _normalizer(self, scores: Tensor) -> Tensor:
        """log Z: samples · the mean of ``exp(scores)`` of the first batch in training, and that ever after."""
        fresh = scores.logsumexp((0, 1)) + math.log(len(self.rows) / scores.numel())
        if self.training:
            of_all = gathered(fresh.unsqueeze(0))
            fresh = of_all.logsumexp(0) - math.log(len(of_all))
        log_z = torch.where(self.log_z.isneginf(), fresh, self.log_z)
        if self.training:
            self.log_z.copy_(log_z)
        return log_z


def inner_products(a: Tensor, b: Tensor) -> Tensor:
    """Of all rows of ``a`` with all rows of ``b``, in their precision, also under autocast. (N, D), (M, D) → (N, M)."""
    return bmm(a.unsqueeze(0), b.t().unsqueeze(0)).squeeze(0)


def write(bank: Tensor, index: Tensor, rows: Tensor) -> None:
    """``bank[index] = rows`` in place. Of a sample that stands in the batch twice, the first row counts, all of it."""
    first = (index.unsqueeze(1) == index).int().argmax(dim=1)
    bank.index_copy_(0, index, rows[first].to(bank.dtype))


def gathered(x: Tensor) -> Tensor:
    """The rows of all processes, in their order, without a graph; every process must have as many."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return x.detach()
    of_all = x.new_empty((distributed.get_world_size() * len(x), *x.shape[1:]))
    distributed.all_gather_into_tensor(of_all, x.detach().contiguous())
    return of_all


def check_index(index: object, batch: Tensor, samples: int) -> None:
    """Refuses anything but one id of a sample for each row of the batch.

    Raises:
        StillroomError: it shows type and shape of what came, or the id that is out of range. Ids are looked at on the
            CPU only, for a GPU would have to be waited for: there torch stops the program.
    """
    if not (isinstance(index, Tensor) and index.dtype is torch.int64 and index.shape == batch.shape[:1]):
        got = f"{index.dtype} {tuple(index.shape)}" if isinstance(index, Tensor) else type(index).__name__
        raise StillroomError("index must be one sample id per sample", expected=f"torch.int64 {(len(batch),)}", got=got)
    if index.is_cpu and not torch.compiler.is_compiling():
        wrong = index[(index < 0) | (index >= samples)]
        if len(wrong):
            raise StillroomError("no sample has this index", expected=f"0 to {samples - 1}", got=int(wrong[0]))
