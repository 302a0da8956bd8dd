"""Centred kernel alignment: how similar two layers see the same samples.

Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019; without bias as in Nguyen, Raghu,
Kornblith, Do Wide and Deep Networks Learn the Same Things?, ICLR 2021.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError

LARGEST = 7
"""Maps are averaged down to this side: finer detail changes little and costs much."""


def cka(x: Tensor, y: Tensor, *, debiased: bool = True) -> Tensor:
    """Linear CKA of two representations of the same samples.

    ``HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L))`` with ``K = x xᵀ`` and ``L = y yᵀ`` of the flattened features. HSIC is
    that of Kornblith 2019, which is too high where there are fewer samples than features; ``debiased`` takes the
    unbiased one of Song et al. 2012 that Nguyen 2021 uses: a few hundred samples are enough, and what has nothing in
    common comes to about 0, a little below it too.

    It does not change when a representation is turned, mirrored or scaled, and is 1 where the two differ in no more.

    Args:
        x: (N, ...), features of N samples; a map larger than 7x7 is first averaged down to that.
        y: the same samples in another layer, of any width.
        debiased: take the unbiased estimate; needs 4 samples, the other 2.

    Returns:
        (), float64, on the CPU; not a number where a representation is the same for all samples.

    Raises:
        StillroomError: the numbers of samples differ, or are too small.
    """
    _expect_samples(x, y, least=4 if debiased else 2)
    k, m = centred_gram(x, debiased=debiased), centred_gram(y, debiased=debiased)
    return (k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt()


def centred_gram(x: Tensor, *, debiased: bool = True) -> Tensor:
    """Inner products of all pairs of samples, centred; the sum over the product of two such is a multiple of HSIC.

    Args:
        x: (N, ...), features of N samples.
        debiased: centre without the diagonal (Székely, Rizzo 2014), which gives the unbiased HSIC times N (N − 3).

    Returns:
        (N, N), float64, on the CPU: some devices have no such numbers.
    """
    flat = _pooled(x.detach().cpu().double()).flatten(1)
    flat = flat - flat.mean(0)  # all the centring of the one estimate; of the other it spares the digits
    gram = flat @ flat.T
    if not debiased:
        return gram
    n = len(gram)
    gram.fill_diagonal_(0)
    rows = gram.sum(1) / (n - 2)
    gram = gram - rows[:, None] - rows[None, :] + gram.sum() / ((n - 1) * (n - 2))
    return gram.fill_diagonal_(0)


def _pooled(x: Tensor) -> Tensor:
    if x.dim() != 4:
        return x
    if x.shape[1] == x.shape[2] != x.shape[3]:  # channels last
        x = x.movedim(3, 1)
    height, width = (min(LARGEST, side) for side in x.shape[2:])
    return F.adaptive_avg_pool2d(x, (height, width))


def _expect_samples(x: Tensor, y: Tensor, *, least: int) -> None:
    if x.dim() < 2 or y.dim() < 2 or len(x) != len(y) or len(x) < least:
        raise StillroomError(
            "CKA compares two representations of the same samples",
            expected=f"features (N, ...) of at least {least} samples on both sides",
            got=f"shapes {tuple(x.shape)} and {tuple(y.shape)}",
        )
