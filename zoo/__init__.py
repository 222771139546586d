"""The model zoo: load a pretrained encoder by name, probe it with a few labels, pretrain it again.

Names are imported on first use, so that `zoo list` starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.data.datasets import Dataset as Dataset
    from zoo.data.datasets import load_dataset as load_dataset
    from zoo.errors import ZooError as ZooError
    from zoo.evaluation.estimators import EncoderTransformer as EncoderTransformer
    from zoo.evaluation.estimators import LinearProbe as LinearProbe
    from zoo.evaluation.prediction import Classifier as Classifier
    from zoo.evaluation.prediction import fit as fit
    from zoo.evaluation.prediction import load_classifier as load_classifier
    from zoo.evaluation.protocol import ProbeReport as ProbeReport
    from zoo.evaluation.protocol import evaluate as evaluate
    from zoo.evaluation.protocol import linear_probe as linear_probe
    from zoo.evaluation.reporting import report as report
    from zoo.evaluation.reproducing import reproduce as reproduce
    from zoo.evaluation.selection import suggest as suggest
    from zoo.evaluation.verifying import verify as verify
    from zoo.models.entries import entry as entry
    from zoo.models.entries import list_models as list_models
    from zoo.models.exporting import export as export
    from zoo.models.loading import load as load
    from zoo.models.loading import pull as pull
    from zoo.models.pretrained import PretrainedEncoder as PretrainedEncoder
    from zoo.models.publishing import publish as publish
    from zoo.models.saving import save as save
    from zoo.training.loop import pretrain as pretrain
    from zoo.training.loop import resume as resume
    from zoo.training.recipe import Recipe as Recipe

_HOMES = {
    "Dataset": "data.datasets",
    "load_dataset": "data.datasets",
    "ZooError": "errors",
    "EncoderTransformer": "evaluation.estimators",
    "LinearProbe": "evaluation.estimators",
    "Classifier": "evaluation.prediction",
    "fit": "evaluation.prediction",
    "load_classifier": "evaluation.prediction",
    "ProbeReport": "evaluation.protocol",
    "evaluate": "evaluation.protocol",
    "linear_probe": "evaluation.protocol",
    "report": "evaluation.reporting",
    "reproduce": "evaluation.reproducing",
    "suggest": "evaluation.selection",
    "verify": "evaluation.verifying",
    "entry": "models.entries",
    "list_models": "models.entries",
    "export": "models.exporting",
    "PretrainedEncoder": "models.pretrained",
    "load": "models.loading",
    "publish": "models.publishing",
    "pull": "models.loading",
    "save": "models.saving",
    "pretrain": "training.loop",
    "resume": "training.loop",
    "Recipe": "training.recipe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
