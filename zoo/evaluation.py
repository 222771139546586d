"""The probe protocol, written once: what features are worth when a few labels are given.

    features    of the encoder as loaded from its file, in evaluation mode, computed once
    standardise with the mean and standard deviation of the training features
    probe       multinomial logistic regression with an L2 penalty, to its optimum
    strength    chosen on held-out training labels: a fifth of them, drawn per class; each fifth in turn where there
                are at most 1,000 labels; a fixed one where a class has fewer than 5
    test        one evaluation, with the probe fitted anew on all training labels at the chosen strength

Beside it stand the same probe on raw pixels and on the untrained encoder, and 10 nearest neighbours by cosine. Nothing
is ever chosen on test labels.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from functional import metrics, probes, random
from functional.base import Key
from zoo.datasets import Dataset
from zoo.errors import ZooError, unknown
from zoo.loading import PretrainedEncoder, untrained

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DEFAULT_STRENGTH = 1e-2  # where a class has too few labels to hold any out
NEIGHBOURS = 10
BASELINES = ("pixels", "untrained")


@dataclass(frozen=True)
class ProbeReport:
    """What a linear probe found on the test images.

    Attributes:
        accuracy: share of the test images whose class is right, 0 to 1.
        macro_f1: the mean over classes of the harmonic mean of precision and recall.
        per_class: `{class: {"precision", "recall", "f1", "images"}}`.
        strength: of the penalty that was chosen, as `functional.probes.logistic` counts it.
        baselines: accuracy of the same probe by the name of other features.
    """

    accuracy: float
    macro_f1: float
    per_class: dict[str, dict[str, float]]
    strength: float
    baselines: dict[str, float] = field(default_factory=dict)


def linear_probe(
    model: PretrainedEncoder,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    seed: int = 0,
    baselines: Sequence[str] = (),
) -> ProbeReport:
    """Fit a linear probe on labelled images, and test it on others.

    Args:
        model: the encoder; it is not changed.
        train: images as `model.features` takes them, and a label for each, numbers or strings.
        test: likewise; classes that have no training image are refused.
        seed: draws the held-out labels, and the weights of the untrained baseline.
        baselines: of `"pixels"` and `"untrained"`, to be probed in the same way.

    Raises:
        ZooError: if images and labels do not match in number, if there is one class only, or for other images than
            the encoder's.
    """
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
    (train_images, train_names), (test_images, test_names) = train, test
    classes = np.unique(np.asarray(train_names))
    train_y = _numbers("train", train_names, classes, len(train_images))
    test_y = _numbers("test", test_names, classes, len(test_images))
    key = random.key(seed)

    def probe(features: Callable[[Any], Tensor]) -> tuple[Tensor, float]:
        return _fit_and_predict(features(train_images), train_y, features(test_images), key)

    predicted, strength = probe(model.features)
    others = {name: probe(_baseline(name, model, seed))[0] for name in baselines}
    return ProbeReport(
        **_scores(predicted, test_y, classes.tolist()),
        strength=strength,
        baselines={name: _accuracy(labels, test_y) for name, labels in others.items()},
    )


def evaluate(
    model: PretrainedEncoder,
    data: Dataset,
    *,
    labels_per_class: Sequence[int | str] = (1, 5, 10, "all"),
    draws: int = 5,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, Any]:
    """Probe accuracy on the official test images against the number of labels, for the encoder and its baselines.

    Args:
        model: the encoder.
        data: with labelled training and test images.
        labels_per_class: how many training labels are drawn from each class, or `"all"`.
        draws: how often they are drawn; every features sees the same draws.
        seed: of the draws and of the untrained encoder.
        baselines: of `"pixels"` and `"untrained"`.

    Returns:
        A record of plain values: `record["results"]` has a row per features and number of labels, with the accuracies
        of the draws, their mean and their standard deviation.

    Raises:
        ZooError: if labels or test images are missing, or a class has fewer images than are asked for.
    """
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
    (train_images, train_y), (test_images, test_y) = _labelled(data)
    if draws < 1:
        raise ZooError(f"draws: expected 1 or more, got {draws}")
    key_draws, key_held_out = random.split(random.key(seed))
    chosen = {
        count: [torch.arange(len(train_y))]
        if count == "all"
        else [draw_labels(random.fold_in(key_draws, i), train_y, _count(count), data.classes) for i in range(draws)]
        for count in labels_per_class
    }
    sources = {"encoder": model.features, **{name: _baseline(name, model, seed) for name in baselines}}
    rows = []
    for source, features in sources.items():
        train_x, test_x = features(train_images), features(test_images)
        for count, indices in chosen.items():
            probed = [
                _fit_and_predict(train_x[i], train_y[i], test_x, random.fold_in(key_held_out, draw))[0]
                for draw, i in enumerate(indices)
            ]
            near = [_neighbours(train_x[i], train_y[i], test_x) for i in indices]
            rows.append(
                {
                    "features": source,
                    "labels_per_class": count,
                    "labels": len(indices[0]),
                    "linear": _spread([_accuracy(labels, test_y) for labels in probed]),
                    "knn": _spread([_accuracy(labels, test_y) for labels in near]),
                }
            )
    return {
        "model": model.name,
        "dataset": data.name,
        "dataset_digest": data.digest,
        "test_images": len(test_y),
        "draws": draws,
        "seed": seed,
        "results": rows,
    }


def draw_labels(key: Key, labels: Tensor, per_class: int, classes: Sequence[str] = ()) -> Tensor:
    """Positions of `per_class` random labels of each class, sorted, int64.

    Raises:
        ZooError: if a class has fewer; the message names it.
    """
    drawn = []
    for i in labels.unique().tolist():
        members = torch.nonzero(labels == i).flatten()
        if len(members) < per_class:
            name = classes[i] if i < len(classes) else i
            raise ZooError(f"class {str(name)!r} has {len(members)} labels; asked for {per_class} per class")
        order = random.permutation(random.fold_in(key, i), len(members))
        drawn.append(members[order[:per_class]])
    return torch.cat(drawn).sort().values


def _fit_and_predict(train_x: Tensor, train_y: Tensor, test_x: Tensor, key: Key) -> tuple[Tensor, float]:
    strength = _choose_strength(train_x, train_y, key)
    return _predict(train_x, train_y, test_x, (strength,))[0], strength


def _predict(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, strengths: tuple[float, ...], max_iterations: int = 1000
) -> Tensor:
    """Labels `[S, N]` of test rows, from probes on standardised features."""
    train_x, test_x = probes.standardize(train_x, test_x)
    fit = probes.logistic(train_x, train_y, strengths=strengths, max_iterations=max_iterations)
    return fit.predict(test_x)


def _choose_strength(x: Tensor, y: Tensor, key: Key) -> float:
    smallest = int(torch.bincount(y)[y.unique()].min())
    if smallest < 5:
        return DEFAULT_STRENGTH
    fifth = _fifths(y, key)
    right = torch.zeros(len(STRENGTHS))
    for held_out in range(5 if len(y) <= 1000 else 1):
        out = fifth == held_out
        # To rank the strengths, probes near their optimum will do; the one that is reported goes all the way.
        right += (_predict(x[~out], y[~out], x[out], STRENGTHS, max_iterations=40) == y[out]).sum(1)
    return STRENGTHS[int(right.argmax())]  # the weakest penalty among equals


def _fifths(y: Tensor, key: Key) -> Tensor:
    """A number 0 to 4 for every label, each fifth with its share of every class."""
    fifth = torch.empty_like(y)
    for i in y.unique().tolist():
        members = torch.nonzero(y == i).flatten()
        order = random.permutation(random.fold_in(key, i), len(members))
        fifth[members[order]] = torch.arange(len(members)) % 5
    return fifth


def _neighbours(train_x: Tensor, train_y: Tensor, test_x: Tensor) -> Tensor:
    train_x, test_x = probes.standardize(train_x, test_x)
    return probes.knn(train_x, train_y, test_x, k=min(NEIGHBOURS, len(train_x)))


def _baseline(name: str, model: PretrainedEncoder, seed: int) -> Callable[[Any], Tensor]:
    if name == "pixels":
        return model.pixels
    return untrained(model, seed).features


def _scores(predicted: Tensor, actual: Tensor, classes: Sequence[Any]) -> dict[str, Any]:
    scores = metrics.class_scores(predicted, actual, classes=len(classes))
    columns = dict(zip(("precision", "recall", "f1", "images"), (column.tolist() for column in scores), strict=True))
    per_class = {str(name): {key: column[i] for key, column in columns.items()} for i, name in enumerate(classes)}
    return {"accuracy": _accuracy(predicted, actual), "macro_f1": scores.f1.mean().item(), "per_class": per_class}


def _accuracy(predicted: Tensor, actual: Tensor) -> float:
    return (predicted == actual).double().mean().item()


def _spread(values: list[float]) -> Mapping[str, Any]:
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
    }


def _labelled(data: Dataset) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if data.train.labels is None:
        raise ZooError(f"{data.name}: has no train_labels; a probe needs some")
    if data.test is None or data.test.labels is None:
        raise ZooError(f"{data.name}: has no test_images with test_labels; a probe is judged on them")
    if len(data.train.labels.unique()) < 2:
        raise ZooError(f"{data.name}: all training labels are {data.classes[0]!r}; a probe needs two classes or more")
    return (data.train.images, data.train.labels), (data.test.images, data.test.labels)


def _count(value: int | str) -> int:
    try:
        count = int(value)
    except ValueError:
        count = 0
    if count < 1:
        raise ZooError(f"labels per class: expected a number of 1 or more, or 'all', got {value!r}")
    return count


def _numbers(split: str, names: Any, classes: np.ndarray, n: int) -> Tensor:
    names = np.asarray(names)
    if names.ndim != 1 or len(names) != n:
        raise ZooError(f"{split}: {n} images but labels {list(names.shape)}; expected one label per image")
    if len(classes) < 2:
        raise ZooError(f"train: all labels are {str(classes[0])!r}; a probe needs two classes or more")
    strange = np.setdiff1d(names, classes)
    if len(strange):
        raise ZooError(f"{split}: labels without a training image: {', '.join(map(str, strange[:5]))}")
    return torch.from_numpy(np.searchsorted(classes, names))
