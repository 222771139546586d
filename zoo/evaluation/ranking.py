"""Which encoder fits one's images: the probe of several, cross-validated on the same labels, with 95 % intervals.

Labels are held out as in `zoo.evaluation.few_labels`; labelled test images are not used, as a model that is chosen on
them would have been trained on them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from functional import random
from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.evaluation.few_labels import folds
from zoo.evaluation.intervals import sign_test, wilson
from zoo.evaluation.probing import fit_probe
from zoo.models.pretrained import PretrainedEncoder

_CHANCE = 0.05


class Ranked(NamedTuple):
    """A model and the held-out labels that its probe got right.

    Attributes:
        model: its name.
        right: how many.
        labels: of how many.
        accuracy: right / labels.
        interval: its 95 % interval.
        chance: the probability of a difference from the best model at least this large by chance; 1 for the best.
    """

    model: str
    right: int
    labels: int
    accuracy: float
    interval: tuple[float, float]
    chance: float


def rank(models: Mapping[str, tuple[PretrainedEncoder, Dataset]], *, seed: int = 0) -> list[Ranked]:
    """Models by the accuracy of their probes, the best first.

    Args:
        models: the models by name, each with the same images in its own size.
        seed: of the folds.

    Raises:
        ZooError: if there are no labels, or fewer than two classes have two labels or more.
    """
    key = random.key(seed)
    found = {}
    for name, (model, data) in tqdm(models.items(), desc="probe", unit=" models", delay=2, disable=None):
        images, y = data.train
        if y is None:
            raise ZooError(f"{data.name}: has no train_labels, which a probe needs")
        found[name] = _held_out_right(model, images, _dense(y), data.name, key)
    best = max(found, key=lambda name: int(found[name].sum()))
    ranked = [_ranked(name, right, found[best]) for name, right in found.items()]
    return sorted(ranked, key=lambda row: (-row.right, row.model != best))


def verdict(ranked: list[Ranked]) -> str:
    """What the labels can tell apart, in one sentence."""
    best, *others = ranked
    alike = [row.model for row in others if row.chance > _CHANCE]
    if not alike:
        return f"{best.model} is better than the others, by more than chance"
    return (
        f"{best.labels:,} labels are too few to tell {best.model} from {len(alike)} of the {len(others)} others: "
        f"{', '.join(alike)}"
    )


def _ranked(name: str, right: Tensor, best: Tensor) -> Ranked:
    n, count = len(right), int(right.sum())
    chance = sign_test(int((best & ~right).sum()), int((right & ~best).sum()))
    return Ranked(name, count, n, count / n, wilson(count, n), chance)


def _dense(y: Tensor) -> Tensor:
    return torch.unique(y, return_inverse=True)[1]


def _held_out_right(
    model: PretrainedEncoder, images: Any, y: Tensor, name: str, key: Tensor
) -> Bool[Tensor, " held_out"]:
    """Which labels the probe predicts that was fitted without their fold."""
    key_folds, key_probe = random.split(key)
    part = folds(y, key_folds)
    if int((y.bincount() > 1).sum()) < 2:
        raise ZooError(f"{name}: expected two labels or more of two classes or more, of which some can be held out")
    x, right = model.features(images), torch.zeros(len(y), dtype=torch.bool)
    for fold in part[part >= 0].unique().tolist():
        out = part == fold
        probe = fit_probe(x[~out], y[~out], random.fold_in(key_probe, fold))
        right[out] = probe.predict(x[out]) == y[out]
    return right[part >= 0]
