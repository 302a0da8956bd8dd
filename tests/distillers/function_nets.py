"""Networks with sites in functions, methods and parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom import Distiller, FunctionOutputs, MethodOutputs, Term
from stillroom.losses import L2


def scale(x: Tensor, factor: float = 2.0) -> Tensor:
    return x * factor


def unused(x: Tensor) -> Tensor:
    return x


class Tanh:
    def apply(self, x: Tensor) -> Tensor:
        return x.tanh()


class Steps(nn.Module):
    """Vectors (N, 6) to logits (N, 5): what its function returns is overwritten afterwards."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body, self.head, self.act = nn.Linear(6, width), nn.Linear(width, 5), Tanh()
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        h = scale(self.body(x)).relu_()
        if self.fails:
            raise ZeroDivisionError
        return self.head(self.act.apply(F.softplus(h)))

    def hidden(self, x: Tensor) -> dict[str, Tensor]:
        """The values at its sites, written out."""
        before = 2 * self.body(x)
        soft = F.softplus(before.relu())
        return {"scale": before, "given": before / 2, "softplus": soft, "method": soft.tanh()}


class Worded(Steps):
    """Called with keywords, returns a dict."""

    def forward(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x * mask)}


class ReadsInput(nn.Module):
    """Its first operation is in place, or not."""

    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.act, self.head = nn.ReLU(inplace=inplace), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(x))


def make() -> Distiller:
    """A function, a method and the outputs, prepared in double precision."""
    torch.manual_seed(0)
    terms = {
        name: Term(L2(), student=site, teacher=site, connector="auto")
        for name, site in (
            ("function", FunctionOutputs("function_nets.scale")),
            ("method", MethodOutputs("function_nets.Tanh.apply")),
        )
    }
    distiller = Distiller(Steps(4).double(), Steps(7).double(), terms=terms | {"output": Term(L2(), weight=0.5)})
    distiller.prepare(torch.randn(4, 6).double())
    return distiller
