"""The model zoo: load a pretrained encoder by name, probe it with a few labels, train one again.

Names are imported when they are first used, so that `zoo list` starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.datasets import Dataset as Dataset
    from zoo.datasets import load_dataset as load_dataset
    from zoo.entries import entry as entry
    from zoo.entries import list_models as list_models
    from zoo.errors import ZooError as ZooError
    from zoo.evaluation import ProbeReport as ProbeReport
    from zoo.evaluation import evaluate as evaluate
    from zoo.evaluation import linear_probe as linear_probe
    from zoo.loading import PretrainedEncoder as PretrainedEncoder
    from zoo.loading import load as load
    from zoo.loading import save as save
    from zoo.pretraining import pretrain as pretrain
    from zoo.pretraining import resume as resume
    from zoo.recipe import Recipe as Recipe

_HOMES = {
    "Dataset": "datasets",
    "load_dataset": "datasets",
    "ZooError": "errors",
    "ProbeReport": "evaluation",
    "evaluate": "evaluation",
    "linear_probe": "evaluation",
    "PretrainedEncoder": "loading",
    "entry": "entries",
    "list_models": "entries",
    "load": "loading",
    "save": "loading",
    "pretrain": "pretraining",
    "resume": "pretraining",
    "Recipe": "recipe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
