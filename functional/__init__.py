"""Self-supervised learning as pure functions in PyTorch: the contracts are in `functional.base`.

A module is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functional import augmentations as augmentations
    from functional import averaging as averaging
    from functional import clustering as clustering
    from functional import encoders as encoders
    from functional import heads as heads
    from functional import initializers as initializers
    from functional import kernels as kernels
    from functional import layers as layers
    from functional import losses as losses
    from functional import methods as methods
    from functional import metrics as metrics
    from functional import neighbours as neighbours
    from functional import optimizers as optimizers
    from functional import probes as probes
    from functional import queues as queues
    from functional import random as random
    from functional import schedules as schedules
    from functional import selection as selection
    from functional import solvers as solvers
    from functional import streams as streams
    from functional import training as training
    from functional import tree as tree

_MODULES = (
    *("augmentations", "averaging", "clustering", "encoders", "heads", "initializers", "kernels", "layers", "losses"),
    *("methods", "metrics", "neighbours", "optimizers", "probes", "queues", "random", "schedules", "selection"),
    *("solvers", "streams", "training", "tree"),
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'functional' has no attribute {name!r}")
    return importlib.import_module(f"functional.{name}")


def __dir__() -> list[str]:
    return sorted(_MODULES)
