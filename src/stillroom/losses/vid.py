"""VID: Ahn et al., Variational Information Distillation for Knowledge Transfer, CVPR 2019, equations 4 to 6."""

from __future__ import annotations

import math
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_channels, check_shapes
from stillroom.losses.tensors import at_least_float32, bmm, common_precision, detached, of_one_size

_SHAPES = MAPS._replace(equal=(0,))


@final
class VID(nn.Module):
    """The student's map is to tell as much about the teacher's as a Gaussian around what it predicts can.

    ``½ [(mu(s) − t)² / σ² + log σ²]``, mean over N, C, H and W. mu is the regressor 1x1 convolution, ReLU, 1x1
    convolution, ReLU, 1x1 convolution, without biases and as wide as the teacher; ``σ² = softplus(alpha) + eps``, one
    for each of the teacher's channels. Both learn and must be in the optimizer. The value can be below 0. Maps that
    differ in size are average-pooled to the smaller, as HobbitLong/RepDistiller does.

    Args:
        student_channels: C of the student's map.
        teacher_channels: C of the teacher's map.
        init_variance: every σ² at first, above eps.
        eps: what σ² cannot fall below, above 0.

    Shape:
        student: (N, student_channels, H, W). teacher: (N, teacher_channels, H', W'). Returns ().

    Raises:
        StillroomError: for channels below 1, for an init_variance or an eps out of range, for another N, and for maps
            of other channels than those given.

    Example:
        >>> VID(3, 2)(torch.zeros(1, 3, 4, 4), torch.ones(1, 2, 4, 4)).detach()  # ½ (1 / 5 + log 5)
        tensor(0.9047)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=_SHAPES,
        paper="Ahn et al., CVPR 2019",
        cost="learns a regressor and a variance for each channel",
        non_negative=False,
        per_sample_mean=True,
        permutation_invariant=False,
    )

    def __init__(
        self, student_channels: int, teacher_channels: int, *, init_variance: float = 5.0, eps: float = 1e-5
    ) -> None:
        super().__init__()
        check_at_least("student_channels", student_channels, 1, "a map without channels")
        check_at_least("teacher_channels", teacher_channels, 1, "a map without channels")
        if not 0 < eps < init_variance < math.inf:
            got = f"eps {eps} and init_variance {init_variance}"
            raise StillroomError("no such variance", expected="0 < eps < init_variance and finite", got=got)
        self.eps = eps
        self.regressor = nn.ModuleList(
            nn.Conv2d(channels, teacher_channels, 1, bias=False)
            for channels in (student_channels, teacher_channels, teacher_channels)
        )
        start = init_variance - eps
        # softplus backwards, in a form that does not overflow
        self.alpha = nn.Parameter(torch.full((teacher_channels,), start + math.log(-math.expm1(-start))))

    @property
    def variance(self) -> Tensor:
        """σ² of each of the teacher's channels, (teacher_channels,)."""
        return F.softplus(at_least_float32(self.alpha)) + self.eps

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_shapes(student, teacher, _SHAPES)
        first = cast(nn.Conv2d, self.regressor[0])
        check_channels(student, teacher, (first.in_channels, first.out_channels))
        student, teacher = common_precision(student, detached(teacher))
        student, teacher = of_one_size(student, teacher)
        variance = self.variance.to(student.dtype).unsqueeze(1)
        error = self._regressed(student.flatten(2)) - teacher.flatten(2)
        return (error.square() / variance + variance.log()).mean() / 2

    def _regressed(self, x: Tensor) -> Tensor:
        """The three convolutions in the precision of ``x``, (N, C, H · W), also under autocast."""
        for place, convolution in enumerate(self.regressor):
            weight = cast(Tensor, convolution.weight).flatten(1).to(x.dtype)
            x = bmm(weight.expand(x.shape[0], -1, -1), F.relu(x) if place else x)
        return x
