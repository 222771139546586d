"""Losses: each one an equation, a pure function of tensors. They never detach; methods do."""

from functional.losses.contrastive import nt_xent as nt_xent
