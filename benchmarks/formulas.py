"""Every loss of stillroom with its plain formula, and what both are timed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import plain_detection as detection
import plain_features as features
import plain_logits as logits
import plain_relations as relations
import works
from pairs import Pair
from stillroom import losses
from works import Work


def beside(kind: Callable[..., nn.Module], plain: Callable[..., Tensor], *works: Work, **arguments: Any) -> Pair:
    """A pair whose two sides take the same arguments, whatever the shapes."""
    formula = partial(plain, **arguments) if arguments else plain
    return Pair(ours=lambda _: kind(**arguments), plain=formula, works=works)


def classifier(shape: Any) -> dict[str, Tensor]:
    return {"classifier": torch.randn(100, shape[1])}


def crd(shape: Any) -> nn.Module:
    """Of CIFAR-100."""
    return losses.CRD(shape[1], shape[1], 50000)


def samples(shape: Any) -> dict[str, Tensor]:
    return {"index": torch.randperm(50000)[: shape[0]], "labels": torch.randint(100, shape[:1])}


@torch.no_grad()
def fgd(shape: Any) -> nn.Module:
    """Its relation blocks start at zero, where they would have no gradient to compare."""
    loss = losses.FGD(shape[1])
    for parameter in loss.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return loss


def boxes(shape: Any) -> dict[str, Any]:
    """Seven in each image, as many as COCO has."""
    height, width = works.IMAGE
    ends = torch.rand(shape[0], 7, 2, 2).sort(dim=2).values * torch.tensor([width, height])
    return {"boxes": list(ends.flatten(2)), "image_size": works.IMAGE}


def weights(shape: Any) -> dict[str, Tensor]:
    return {"weights": torch.rand(shape[:1] if len(shape) == 3 else (shape[0], *shape[2:]))}


def classes(shapes: Any) -> Any:
    return [(n, works.CLASSES, h, w) for n, _, h, w in shapes]


def tail(shapes: Any) -> dict[str, Any]:
    """What comes after the third convolution of GFL's head, frozen."""
    after = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, works.CLASSES, 3, padding=1))
    return {"hidden": works.drawn(shapes), "tail": after.requires_grad_(False), "positives": 50}


PAIRS: Mapping[str, Pair] = {
    "ActivationBoundary": beside(losses.ActivationBoundary, features.activation_boundary, works.STAGES),
    "ActivationNorm": beside(losses.ActivationNorm, features.activation_norm, works.POOLED),
    "AttentionTransfer": beside(losses.AttentionTransfer, features.attention_transfer, works.STAGES),
    "CorrelationCongruence": beside(losses.CorrelationCongruence, relations.correlation_congruence, works.EMBEDDED),
    "CRD": Pair(ours=crd, plain=relations.crd, works=(works.POOLED,), context=samples),
    "CrossKD": Pair(
        ours=lambda _: losses.CrossKD(), plain=detection.cross_kd, works=(works.LEVELS,), teacher=classes, context=tail
    ),
    "CurriculumTemperature": beside(losses.CurriculumTemperature, logits.curriculum_temperature, works.CIFAR),
    "CWD": beside(losses.CWD, detection.cwd, works.FPN),
    "DIST": beside(losses.DIST, logits.dist, works.CIFAR),
    "DKD": beside(losses.DKD, logits.dkd, works.CIFAR),
    "FactorTransfer": beside(losses.FactorTransfer, features.factor_transfer, works.FACTORS),
    "FBKD": Pair(ours=lambda _: losses.FBKD(), plain=detection.fbkd, works=(works.FPN_PARTS,), draw=works.with_masks),
    "FGD": Pair(ours=fgd, plain=detection.fgd, works=(works.FPN,), context=boxes),
    "FSP": beside(losses.FSP, features.fsp, works.PAIRS_OF_STAGES),
    "HardLabel": beside(losses.HardLabel, logits.hard_label, works.CIFAR),
    "HierarchicalContext": beside(losses.HierarchicalContext, features.hierarchical_context, works.STAGES),
    "ICKD": beside(losses.ICKD, relations.ickd, works.LAST),
    "InformationEntropy": beside(losses.InformationEntropy, logits.information_entropy, works.CIFAR),
    "KDSVD": beside(losses.KDSVD, relations.kdsvd, works.LAYERS),
    "KLDivergence": beside(losses.KLDivergence, logits.kl_divergence, works.CIFAR, works.IMAGENET, tau=4.0),
    "L1": beside(losses.L1, features.l1, works.SECOND),
    "L2": beside(losses.L2, features.l2, works.SECOND),
    "LocalizationDistillation": Pair(
        ours=lambda _: losses.LocalizationDistillation(),
        plain=detection.localization_distillation,
        works=(works.POSITIVES, works.SIDES),
        context=weights,
    ),
    "MGD": beside(losses.MGD, features.mgd, works.FPN),
    "MultiLevelKD": beside(losses.MultiLevelKD, logits.multi_level_kd, works.CIFAR),
    "NST": beside(losses.NST, relations.nst, works.STAGES),
    "OFAKD": beside(losses.OFAKD, logits.ofakd, works.CIFAR),
    "OFD": beside(losses.OFD, features.ofd, works.STAGES),
    "OneHotLike": beside(losses.OneHotLike, logits.one_hot_like, works.CIFAR),
    "PKD": beside(losses.PKD, detection.pkd, works.LEVELS),
    "PKT": beside(losses.PKT, relations.pkt, works.POOLED),
    "RKDAngle": beside(losses.RKDAngle, relations.rkd_angle, works.POOLED, works.WIDE),
    "RKDDistance": beside(losses.RKDDistance, relations.rkd_distance, works.POOLED, works.WIDE),
    "SimKD": beside(losses.SimKD, features.simkd, works.LAST),
    "SimilarityPreserving": beside(losses.SimilarityPreserving, relations.similarity_preserving, works.LAST),
    "SoftLabel": beside(losses.SoftLabel, logits.soft_label, works.CIFAR),
    "SphericalKD": beside(losses.SphericalKD, logits.spherical_kd, works.CIFAR),
    "SRD": beside(losses.SRD, features.srd, works.POOLED),
    "SRRL": Pair(ours=lambda _: losses.SRRL(), plain=features.srrl, works=(works.LAST,), context=classifier),
    "StandardizedKL": beside(losses.StandardizedKL, logits.standardized_kl, works.CIFAR),
    "VID": Pair(ours=lambda shape: losses.VID(shape[1], shape[1]), plain=features.vid, works=(works.STAGES,)),
    "VirtualTeacher": beside(losses.VirtualTeacher, logits.virtual_teacher, works.CIFAR),
    "WSLD": beside(losses.WSLD, logits.wsld, works.CIFAR),
    "YOLOFineGrained": beside(
        losses.YOLOFineGrained, detection.yolo_fine_grained, works.HEADS, num_classes=works.CLASSES
    ),
    "YOLOFineGrained, nms": beside(
        losses.YOLOFineGrained, detection.yolo_fine_grained, works.HEADS, num_classes=works.CLASSES, nms=True
    ),
    "YOLOHeadL2": Pair(
        ours=lambda _: losses.YOLOHeadL2(works.CLASSES), plain=detection.yolo_head_l2, works=(works.HEADS,)
    ),
}
"""By the name of the class, and what it is told, if anything, after a comma."""
