"""Channel-wise distillation: Shu et al., Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import detached


def cwd(student: Tensor, teacher: Tensor, *, tau: float = 1.0) -> Tensor:
    """The formula of :class:`CWD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, MAPS)
    return kl_divergence(*(x.flatten(2).flatten(0, 1) for x in (student, teacher)), tau=tau)


@final
class CWD(nn.Module):
    """Each channel is to be strong at the positions where the teacher's is.

    ``tau² · Σ p_t (log p_t − log p_s) / (N · C)``, with p the softmax of ``x / tau`` over the H · W positions of one
    channel of one sample: :class:`KLDivergence` with channels for samples and positions for classes. The sum over
    positions is not divided by H · W. PaddleDetection's has no tau². The paper takes tau 4 and a weight of 3 on the
    logits of a segmentation.

    Args:
        tau: the temperature, above 0.

    Shape:
        student, teacher: (N, C, H, W). Returns ().

    Raises:
        StillroomError: for a tau that is none, for anything but maps, and for shapes that differ.

    Example:
        >>> CWD()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0986, 0.0]]]]))
        tensor(0.1308)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="map",
        shapes=MAPS,
        paper="Shu et al., ICCV 2021",
        connectors=("Conv1x1",),
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 1.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return cwd(student, detached(teacher), tau=self.tau)
