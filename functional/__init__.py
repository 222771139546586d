"""Self-supervised learning as pure functions in PyTorch: the contracts are in `functional.base`."""

from functional import losses as losses
from functional import random as random
from functional import tree as tree
