"""CRD: Tian, Krishnan, Isola, Contrastive Representation Distillation, ICLR 2020, equations 17 to 19."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.bank import Bank, check_index, gathered, inner_products, write
from stillroom.losses.facts import Facts
from stillroom.losses.labels import check_labels
from stillroom.losses.shapes import Shapes, check_channels, check_shapes
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import at_least_float32, common_precision, detached, unit

_SHAPES = Shapes("vectors (N, C) or maps (N, C, H, W)", (2, 4), (0,))
_EPS = 1e-7
_UNSEEN = -1  # the class of a sample that was never in a batch


def noise_contrastive(log_x: Tensor, *, samples: int) -> Tensor:
    """One direction of :class:`CRD`: how well the pairs that belong together are told from those that do not.

    ``−[Σ_n log x_n0 / (x_n0 + K/M + 1e-7) + Σ_n Σ_j log (K/M) / (x_nj + K/M + 1e-7)] / N``, with M the samples.

    Args:
        log_x: the logarithms of x; those that belong together are the first column.
        samples: how many samples the data set has.

    Shape:
        log_x: (N, 1 + K), of at least one negative. Returns ().

    Raises:
        StillroomError: for any other shape.
    """
    if log_x.ndim != 2 or log_x.shape[1] < 2 or not len(log_x):
        raise StillroomError("no pairs to tell apart", expected="log_x (N, 1 + K), K >= 1", got=tuple(log_x.shape))
    n, negatives = log_x.shape[0], log_x.shape[1] - 1
    noise = negatives / samples
    odds = at_least_float32(log_x) - math.log(noise + _EPS)
    hits, misses = F.logsigmoid(odds[:, 0]).sum(), F.logsigmoid(-odds[:, 1:]).sum()
    return negatives * math.log1p(_EPS / noise) - (hits + misses) / n


@final
class CRD(nn.Module):
    """Student and teacher are to say the same of one sample, and another thing of samples of other classes.

    Both sides are embedded, ``e = W f + b`` at unit norm; W and b of both learn and must be in the optimizer. Two banks
    hold a vector v for each sample of the data set, which follows its embeddings: after each step in training mode
    ``v ← momentum · v + (1 − momentum) · e``, at unit norm. Each side is compared with the other's bank, ``x =
    exp(v · e / tau) / Z``: with the row of the sample itself, x_0, and with those of ``negatives`` samples of other
    classes, drawn anew. Z, one for each bank, is the number of samples times the mean of exp in the first batch, and
    stays. The value, with K the negatives and M the samples, is the sum of both sides'
    ``−[Σ_n log x_n0 / (x_n0 + K/M + 1e-7) + Σ_n Σ_j log (K/M) / (x_nj + K/M + 1e-7)] / N``.

    A sample's class is known from when it was first in a batch; until then its row is random, and no embedding of the
    own class is ever a negative. Banks, classes and Z are saved with the weights. In eval mode nothing is written.

    In a distributed run every process must have as many samples in each step: they are gathered, so that the banks are
    the same everywhere, and Z is of them all. DistributedDataParallel sends the banks around at each step unless told
    ``broadcast_buffers=False``.

    Each bank is multiplied as a whole, for N · samples numbers, and copied once a step for the gradient; to gather the
    rows, N · (negatives + 1) · dim numbers, would be less only where samples are more than (negatives + 1) · dim.

    Args:
        student_dim: C of the student's features.
        teacher_dim: C of the teacher's features.
        samples: how many samples the training set has.
        dim: width of the embeddings.
        negatives: how many samples of other classes each is compared with, the same one perhaps more than once.
        tau: the temperature, above 0.
        momentum: how much of its old value a row keeps, from 0 to below 1.

    Shape:
        student: (N, student_dim), or (N, student_dim, H, W), of which the mean over the pixels is taken. teacher:
        the same with teacher_dim. index: (N,) int64, the samples' places in the training set. labels: (N,) int64,
        at least 0. Returns ().

    Raises:
        StillroomError: for an argument out of range, for another N, for features of other widths than those given, and
            for an index or labels that are none; ids out of range are found on the CPU only.

    Example:
        >>> loss = CRD(3, 2, samples=10, negatives=4)
        >>> value = loss(torch.zeros(1, 3), torch.ones(1, 2), index=torch.tensor([7]), labels=torch.tensor([0]))
        >>> value.shape, loss.draw(torch.tensor([0])).eq(7).any()
        (torch.Size([]), tensor(False))
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=_SHAPES,
        paper="Tian et al., ICLR 2020",
        cost="learns two embeddings, and remembers both of every sample",
        permutation_invariant=False,
    )
    classes: Tensor

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        samples: int,
        *,
        dim: int = 128,
        negatives: int = 16384,
        tau: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        check_at_least("student_dim", student_dim, 1, "features without channels")
        check_at_least("teacher_dim", teacher_dim, 1, "features without channels")
        check_at_least("samples", samples, 2, "too few samples to compare one with another")
        check_at_least("dim", dim, 1, "an embedding without numbers")
        check_at_least("negatives", negatives, 1, "nothing to compare a sample with")
        check_tau(tau)
        if not 0 <= momentum < 1:
            raise StillroomError("no such momentum", expected="0 <= momentum < 1", got=momentum)
        self.samples, self.negatives, self.tau, self.momentum = samples, negatives, tau, momentum
        self.student_embedding = nn.Linear(student_dim, dim)
        self.teacher_embedding = nn.Linear(teacher_dim, dim)
        self.student_bank = Bank(samples, dim)
        self.teacher_bank = Bank(samples, dim)
        self.register_buffer("classes", torch.full((samples,), _UNSEEN))

    def forward(self, student: Tensor, teacher: Tensor, *, index: Tensor, labels: Tensor) -> Tensor:
        self._check(student, teacher, index, labels)
        student, teacher = common_precision(student, detached(teacher))
        of_student = _embedded(student, self.student_embedding)
        of_teacher = _embedded(teacher, self.teacher_embedding)
        everyone = gathered(index) if self.training else index
        if self.training:
            write(self.classes, everyone, gathered(labels))
        chosen = torch.cat((index.unsqueeze(1), self.draw(labels)), dim=1)
        of_student_side = noise_contrastive(self.teacher_bank(of_student, chosen, tau=self.tau), samples=self.samples)
        of_teacher_side = noise_contrastive(self.student_bank(of_teacher, chosen, tau=self.tau), samples=self.samples)
        if self.training:
            self.student_bank.follow(everyone, gathered(of_student), momentum=self.momentum)
            self.teacher_bank.follow(everyone, gathered(of_teacher), momentum=self.momentum)
        return of_student_side + of_teacher_side

    def draw(self, labels: Tensor) -> Tensor:
        """Samples that are not known to be of the label's class, each as likely as any other; with replacement.

        Where all samples are known to be of one class there is no other: one of them then stands for all negatives.

        Shape:
            labels: (N,) int64. Returns (N, negatives) int64.
        """
        # Sorted by class, the samples of one class are one run, and all others follow it, around the end.
        classes, order = self.classes.sort(stable=True)
        labels = labels.contiguous()  # torch warns otherwise
        start, end = torch.searchsorted(classes, labels), torch.searchsorted(classes, labels, right=True)
        others = (self.samples - (end - start)).clamp_min(1).unsqueeze(1)
        # In integers: a float32 could not tell the places of a large set apart.
        steps = torch.randint(2**62, (len(labels), self.negatives), device=labels.device) % others
        return order[(end.unsqueeze(1) + steps) % self.samples]

    def _check(self, student: Tensor, teacher: Tensor, index: Tensor, labels: Tensor) -> None:
        check_shapes(student, teacher, _SHAPES)
        check_channels(student, teacher, (self.student_embedding.in_features, self.teacher_embedding.in_features))
        check_index(index, student, self.samples)
        check_labels(labels, student)


def _embedded(features: Tensor, embedding: nn.Linear) -> Tensor:
    """The embeddings in the precision of the features, also under autocast, at unit norm. (N, dim)."""
    vectors = features.mean((2, 3)) if features.ndim == 4 else features
    product = inner_products(vectors, embedding.weight.to(vectors.dtype))
    return unit(product + embedding.bias.to(vectors.dtype), 1)
