"""What a loss declares about itself, so that one contract test can hold every loss to its word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stillroom.losses.shapes import Shapes

Kind = Literal["logits", "features", "relations", "dense prediction", "generated data"]
Reads = Literal["logits", "map", "map pair", "maps", "feature"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The declared properties of a loss; they hold for its default arguments.

    Args:
        kind: what is taught: the ``"logits"``, one sample's ``"features"``, ``"relations"`` between samples, what
            detectors and segmenters predict (``"dense prediction"``); or ``"generated data"`` are judged.
        reads: what student and teacher are: ``"logits"`` before any softmax, a ``"map"`` (N, C, H, W), a ``"map pair"``
            (two maps of one network), the ``"maps"`` of several layers, or a ``"feature"`` of any rank.
        shapes: the shapes it accepts, and the axes in which the two sides must agree.
        paper: where it comes from, as a short citation.
        connectors: what usually adapts the student's side: classes of ``stillroom.connectors``, one or another.
        teacher_connector: what usually adapts the teacher's, as well.
        cost: what it takes beside the two networks' forward pass, such as relations of all samples, in a few words.
        smallest_batch: the fewest samples that have a value; fewer are refused.
        zero_at_equality: the value is 0, and so is its gradient, where the student equals the teacher.
        non_negative: the value is never below 0.
        per_sample_mean: the value of a batch is the mean of the values of its two halves.
        shift_invariant: one number added to everything on one side changes nothing.
        scale_invariant: everything on one side times one positive number changes nothing.
        permutation_invariant: neither the order of the samples nor that of the classes or channels matters, as long as
            both sides keep the same one.
        ce_form: a cross entropy with a soft target: its minimum is the target's entropy, not 0.
    """

    kind: Kind
    reads: Reads
    shapes: Shapes
    paper: str
    connectors: tuple[str, ...] = ()
    teacher_connector: str = ""
    cost: str = ""
    smallest_batch: int = 1
    zero_at_equality: bool = False
    non_negative: bool = True
    per_sample_mean: bool = False
    shift_invariant: bool = False
    scale_invariant: bool = False
    permutation_invariant: bool = True
    ce_form: bool = False
