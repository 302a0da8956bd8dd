"""Losses: tensors in, one number out. Each is a function, which detaches nothing, and the module around it."""

from __future__ import annotations

from stillroom.losses.activation_boundary import ActivationBoundary, activation_boundary
from stillroom.losses.activation_norm import ActivationNorm, activation_norm
from stillroom.losses.attention_transfer import AttentionTransfer, attention_transfer
from stillroom.losses.correlation_congruence import CorrelationCongruence, correlation_congruence
from stillroom.losses.crd import CRD, noise_contrastive
from stillroom.losses.cross_kd import CrossKD, cross_kd
from stillroom.losses.curriculum_temperature import CurriculumTemperature
from stillroom.losses.cwd import CWD, cwd
from stillroom.losses.dist import DIST, dist
from stillroom.losses.dkd import DKD, dkd
from stillroom.losses.factor_transfer import FactorTransfer, factor_transfer
from stillroom.losses.facts import Facts
from stillroom.losses.fbkd import FBKD, fbkd
from stillroom.losses.fgd import FGD
from stillroom.losses.fsp import FSP, fsp
from stillroom.losses.hard_label import HardLabel, hard_label
from stillroom.losses.hierarchical_context import HierarchicalContext, hierarchical_context
from stillroom.losses.ickd import ICKD, ickd
from stillroom.losses.information_entropy import InformationEntropy, information_entropy
from stillroom.losses.kdsvd import KDSVD, kdsvd
from stillroom.losses.kl_divergence import KLDivergence, kl_divergence
from stillroom.losses.l1 import L1, l1
from stillroom.losses.l2 import L2, l2
from stillroom.losses.localization_distillation import LocalizationDistillation, localization_distillation
from stillroom.losses.mgd import MGD, mgd
from stillroom.losses.multi_level_kd import MultiLevelKD, multi_level_kd
from stillroom.losses.nst import NST, nst
from stillroom.losses.ofakd import OFAKD, ofakd
from stillroom.losses.ofd import OFD, ofd
from stillroom.losses.one_hot_like import OneHotLike, one_hot_like
from stillroom.losses.pkd import PKD, pkd
from stillroom.losses.pkt import PKT, pkt
from stillroom.losses.regions import valuable_region
from stillroom.losses.rkd_angle import RKDAngle, rkd_angle
from stillroom.losses.rkd_distance import RKDDistance, rkd_distance
from stillroom.losses.similarity_preserving import SimilarityPreserving, similarity_preserving
from stillroom.losses.simkd import SimKD, simkd
from stillroom.losses.soft_label import SoftLabel, soft_label
from stillroom.losses.spherical_kd import SphericalKD, spherical_kd
from stillroom.losses.srd import SRD, srd
from stillroom.losses.srrl import SRRL, srrl
from stillroom.losses.standardized_kl import StandardizedKL, standardized_kl
from stillroom.losses.vid import VID
from stillroom.losses.virtual_teacher import VirtualTeacher, virtual_teacher
from stillroom.losses.wsld import WSLD, wsld
from stillroom.losses.yolo_fine_grained import YOLOFineGrained, yolo_fine_grained
from stillroom.losses.yolo_head_l2 import YOLOHeadL2, yolo_head_l2

__all__ = [
    "CRD",
    "CWD",
    "DIST",
    "DKD",
    "FBKD",
    "FGD",
    "FSP",
    "ICKD",
    "KDSVD",
    "L1",
    "L2",
    "MGD",
    "NST",
    "OFAKD",
    "OFD",
    "PKD",
    "PKT",
    "SRD",
    "SRRL",
    "VID",
    "WSLD",
    "ActivationBoundary",
    "ActivationNorm",
    "AttentionTransfer",
    "CorrelationCongruence",
    "CrossKD",
    "CurriculumTemperature",
    "FactorTransfer",
    "Facts",
    "HardLabel",
    "HierarchicalContext",
    "InformationEntropy",
    "KLDivergence",
    "LocalizationDistillation",
    "MultiLevelKD",
    "OneHotLike",
    "RKDAngle",
    "RKDDistance",
    "SimKD",
    "SimilarityPreserving",
    "SoftLabel",
    "SphericalKD",
    "StandardizedKL",
    "VirtualTeacher",
    "YOLOFineGrained",
    "YOLOHeadL2",
    "activation_boundary",
    "activation_norm",
    "attention_transfer",
    "correlation_congruence",
    "cross_kd",
    "cwd",
    "dist",
    "dkd",
    "factor_transfer",
    "fbkd",
    "fsp",
    "hard_label",
    "hierarchical_context",
    "ickd",
    "information_entropy",
    "kdsvd",
    "kl_divergence",
    "l1",
    "l2",
    "localization_distillation",
    "mgd",
    "multi_level_kd",
    "noise_contrastive",
    "nst",
    "ofakd",
    "ofd",
    "one_hot_like",
    "pkd",
    "pkt",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "simkd",
    "soft_label",
    "spherical_kd",
    "srd",
    "srrl",
    "standardized_kl",
    "valuable_region",
    "virtual_teacher",
    "wsld",
    "yolo_fine_grained",
    "yolo_head_l2",
]
