"""Connectors adapt a feature before the loss; any ``nn.Module`` is one, a chain of them an ``nn.Sequential``."""

from stillroom.connectors.attention_fusion import AttentionFusion
from stillroom.connectors.auto import infer
from stillroom.connectors.conv1x1 import Conv1x1
from stillroom.connectors.conv_norm_act import ConvNormAct
from stillroom.connectors.conv_regressor import ConvRegressor
from stillroom.connectors.embed import Embed
from stillroom.connectors.fbkd import FBKDFeatures
from stillroom.connectors.fbkd_student import FBKDStudent
from stillroom.connectors.fbkd_teacher import FBKDTeacher
from stillroom.connectors.identity import Identity
from stillroom.connectors.item import Item
from stillroom.connectors.linear import Linear
from stillroom.connectors.map_to_tokens import MapToTokens
from stillroom.connectors.masked_generation import MaskedGeneration
from stillroom.connectors.ofd_margin import OFDMargin
from stillroom.connectors.paraphraser import Paraphraser
from stillroom.connectors.pool import Pool
from stillroom.connectors.resize import Resize
from stillroom.connectors.self_branch import SelfBranch
from stillroom.connectors.simkd_projector import SimKDProjector
from stillroom.connectors.standardize import Standardize
from stillroom.connectors.tokens_to_map import TokensToMap
from stillroom.connectors.translator import Translator

__all__ = [
    "AttentionFusion",
    "Conv1x1",
    "ConvNormAct",
    "ConvRegressor",
    "Embed",
    "FBKDFeatures",
    "FBKDStudent",
    "FBKDTeacher",
    "Identity",
    "Item",
    "Linear",
    "MapToTokens",
    "MaskedGeneration",
    "OFDMargin",
    "Paraphraser",
    "Pool",
    "Resize",
    "SelfBranch",
    "SimKDProjector",
    "Standardize",
    "TokensToMap",
    "Translator",
    "infer",
]
