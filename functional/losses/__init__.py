"""Losses: each one an equation, a pure function of tensors. They never detach; methods do."""

from functional.losses.contrastive import decoupled_contrastive as decoupled_contrastive
from functional.losses.contrastive import info_nce as info_nce
from functional.losses.contrastive import mocov3 as mocov3
from functional.losses.contrastive import nt_xent as nt_xent
from functional.losses.contrastive import supervised_contrastive as supervised_contrastive
from functional.losses.distillation import negative_cosine as negative_cosine
from functional.losses.metric_learning import pairwise_contrastive as pairwise_contrastive
from functional.losses.metric_learning import triplet as triplet
from functional.losses.reconstruction import binary_cross_entropy as binary_cross_entropy
from functional.losses.reconstruction import mean_squared_error as mean_squared_error
