"""LD: Zheng et al., Localization Distillation for Dense Object Detection, CVPR 2022, equations 2 to 5."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import Shapes, check_shapes
from stillroom.losses.temperature import check_tau, tempered
from stillroom.losses.tensors import common_precision, detached

_SIDES = 4
_SHAPES = Shapes("distributions (M, 4, bins) or maps (N, 4 · bins, H, W)", (3, 4))


def localization_distillation(student: Tensor, teacher: Tensor, *, weights: Tensor, tau: float = 10.0) -> Tensor:
    """The formula of :class:`LocalizationDistillation`; the teacher and the weights get their gradients too."""
    _check(student, teacher, weights)
    student, teacher = (_by_location(x) for x in common_precision(student, teacher))
    log_s, log_t = (F.log_softmax(tempered(x, tau), dim=2) for x in (student, teacher))
    divergence = F.kl_div(log_s, log_t, reduction="none", log_target=True).mean(2)
    return tau**2 / _SIDES * (weights.flatten().to(divergence.dtype) * divergence.sum(1)).sum()


def _by_location(x: Tensor) -> Tensor:
    """(M, 4, bins), a map's pixels one after the other."""
    return x if x.ndim == 3 else x.unflatten(1, (_SIDES, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)


def _check(student: Tensor, teacher: Tensor, weights: object) -> None:
    if not (_is_nothing(student) and _is_nothing(teacher) and student.shape == teacher.shape):
        check_shapes(student, teacher, _SHAPES)
    shape = tuple(student.shape)
    sides, bins = (shape[1], shape[2]) if student.ndim == 3 else (_SIDES, shape[1] / _SIDES)
    if sides != _SIDES or bins < 2 or bins % 1:
        raise StillroomError(
            "these are no distributions of four sides", expected=f"{_SHAPES.text}, bins >= 2", got=shape
        )
    expected = shape[:1] if student.ndim == 3 else (shape[0], *shape[2:])
    if not isinstance(weights, Tensor) or weights.shape != expected:
        got = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise StillroomError("weights must be one number per location", expected=expected, got=got)


def _is_nothing(x: object) -> bool:
    """Whether there is no location: of an image without boxes none is picked."""
    return isinstance(x, Tensor) and x.ndim in _SHAPES.ranks and len(x) == 0


@final
class LocalizationDistillation(nn.Module):
    """Where the sides of a box are, said as a distribution over bins for each side, is to be what the teacher says.

    ``tau² / 4 · Σ_m w_m Σ_sides mean_bins p_t (log p_t − log p_s)``, p the softmax of ``logits / tau`` over the bins.
    It is the mean over the bins and the sum over the locations: nothing is divided by their number, as the authors'
    weights expect. Without any location, or with weights of 0, it is 0.

    Two terms of a recipe use it, both with a weight of 0.25:

    - at the positives, weighted by the student's largest class score there, and 0 elsewhere;
    - in the valuable region around them, weighted by :func:`valuable_region`, with a further ¼: the authors divide this
      sum by 16.

    The third, of weight 10, is on the class logits of the positives, level by level, and no part of this loss:
    ``KLDivergence(tau=2.0, reduction="mean")`` of the (P, classes) logits that were picked.

    Args:
        tau: the temperature, above 0.

    Shape:
        student, teacher: (M, 4, bins) logits of the locations that were picked, M may be 0, or dense maps
        (N, 4 · bins, H, W), the bins of one side after those of the other. weights: (M,) or (N, H, W), without
        gradient. Returns ().

    Raises:
        StillroomError: for a tau that is none, for shapes that differ or do not hold four distributions, and for
            weights of another shape.

    Example:
        >>> student, teacher = torch.zeros(1, 4, 2), torch.tensor([1.0986, 0.0]).expand(1, 4, 2)
        >>> LocalizationDistillation(tau=1.0)(student, teacher, weights=torch.tensor([2.0]))  # 2 · 0.1308 / 2 bins
        tensor(0.1308)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="logits",
        shapes=_SHAPES,
        paper="Zheng et al., CVPR 2022",
        smallest_batch=0,
        zero_at_equality=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 10.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor, *, weights: Tensor) -> Tensor:
        return localization_distillation(student, detached(teacher), weights=detached(weights), tau=self.tau)
