"""Hard-label distillation: Touvron et al., Training data-efficient image transformers (DeiT), ICML 2021, equation 3."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.tensors import at_least_float32


def hard_label(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`HardLabel`."""
    check_shapes(student, teacher, LOGITS)
    return F.cross_entropy(at_least_float32(student), teacher.argmax(dim=1))


@final
class HardLabel(nn.Module):
    """Cross entropy with the class that the teacher finds most likely as the label.

    Mean over the batch of ``−log softmax(s)_k`` with ``k = argmax_c t_c``. Only the teacher's decision counts, so no
    gradient can reach the teacher. DeiT adds half of this to half of the task's loss, on a head of its own.

    Shape:
        student, teacher: (N, C) logits. Returns ().

    Raises:
        StillroomError: for shapes that differ.

    Example:
        >>> HardLabel()(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
        tensor(0.6931)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Touvron et al., DeiT, ICML 2021",
        per_sample_mean=True,
        shift_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return hard_label(student, teacher)
