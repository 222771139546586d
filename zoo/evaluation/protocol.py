"""The probe protocol: how useful features are when only a few labels are given.

    features    those of the encoder as loaded from its file, in evaluation mode, computed once
    probe       the linear probe of `zoo.evaluation.probing`, whose strength is chosen on held-out training labels
    test        one evaluation, with the probe refitted on all training labels at the chosen strength

Without labelled test images, every label is predicted by a probe that was fitted without it. The labels are split into
5 folds, drawn per class, or into as many as the smallest class has labels, at least 2. Each fold is predicted from the
others; standardisation and strength depend only on these. The result is called cross-validated accuracy.

The baselines are the same probe on raw pixels and on the untrained encoder (and on the encoder trained from scratch on
the same labels, `zoo.evaluation.from_scratch`); 10 nearest neighbours by cosine, untuned, are reported too. Nothing is
ever chosen on test labels.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from functional import metrics, probes, random
from functional.base import Key
from zoo.data.datasets import Dataset
from zoo.errors import ZooError, unknown
from zoo.evaluation.probing import fit_probe, stratified
from zoo.models.pretrained import PretrainedEncoder, untrained
from zoo.reports.tables import report_tables

NEIGHBOURS = 10
FOLDS = 5  # of the cross-validation, unless a class has fewer labels
BASELINES = ("pixels", "untrained")
SCORES = ("linear", "macro_f1", "knn")  # accuracy and macro-F1 of the linear probe, accuracy of the neighbours


class Classified(NamedTuple):
    """Predicted labels int64 `[N]`, their probabilities `[N]`, and the chosen strength; None for what there is not."""

    labels: Tensor
    confidences: Tensor | None
    strength: float | None


class Draw(NamedTuple):
    """Labels that are given to a probe.

    Attributes:
        positions: where they are among the training images, int64.
        key: of those among them that are held out to choose the strength.
    """

    positions: Tensor
    key: Key


Classify = Callable[[Tensor, Tensor, Tensor, Key], Classified]  # training features and labels, test features, a key


@dataclass(frozen=True)
class ProbeReport:
    """The results of a probe on the test images, or by cross-validation; it prints as a table.

    Attributes:
        accuracy: share of the images that are classified correctly, 0 to 1.
        macro_f1: the mean over classes of the harmonic mean of precision and recall.
        per_class: `{class: {"precision", "recall", "f1", "images"}}`.
        strength: the chosen strength of the penalty, as in `functional.probes.logistic`; None if each fold chose its
            own, and for nearest neighbours, which have none.
        baselines: accuracy of the same probe on other features, by their name.
        confusion: number of images of each class (rows) that were predicted as each class (columns), in the order of
            `per_class`.
        predictions: the predicted class of each image, in the order of the images.
        confidences: the probe's probability of each prediction, 0 to 1; empty for nearest neighbours, which have none.
        folds: number of folds of the cross-validation; 0 for a test split.
    """

    accuracy: float
    macro_f1: float
    per_class: dict[str, dict[str, float]]
    strength: float | None
    baselines: dict[str, float] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list, repr=False)
    predictions: list[str] = field(default_factory=list, repr=False)
    confidences: list[float] = field(default_factory=list, repr=False)
    folds: int = 0

    @property
    def judged_on(self) -> str:
        """What the accuracy was measured on, in words."""
        n = sum(map(sum, self.confusion))
        if self.folds:
            return f"cross-validated accuracy on {n:,} labels (no test images), {self.folds} folds"
        return f"accuracy on {n:,} test images"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, without what there is per image."""
        return {"judged_on": self.judged_on, **asdict(self, dict_factory=_without_images)}

    def summary(self) -> str:
        """Accuracy and macro F1 in one line, then a line per baseline."""
        lines = [f"{100 * self.accuracy:.1f} % {self.judged_on}, macro F1 {100 * self.macro_f1:.1f} %"]
        return "\n".join(lines + [f"{100 * accuracy:.1f} % with {name}" for name, accuracy in self.baselines.items()])

    def table(self) -> str:
        """Precision, recall, F1 in % and images per class, then the confusion matrix, as Markdown."""
        return report_tables(self.to_dict())

    def __str__(self) -> str:
        """The summary and the tables."""
        return f"{self.summary()}\n\n{self.table()}"


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
        test: images and labels in the same form; classes without a training image are rejected.
        seed: the seed of the held-out labels and of the untrained baseline's weights.
        baselines: any of `"pixels"` and `"untrained"`, probed in the same way.

    Raises:
        ZooError: if the numbers of images and labels differ, if there is only one class, or if the images are not of
            the form that the encoder takes.
    """
    (train_images, train_names), (test_images, test_names) = train, test
    classes = np.unique(np.asarray(train_names))
    train_y = _numbers("train", train_names, classes, len(train_images))
    test_y = _numbers("test", test_names, classes, len(test_images))
    split = (train_images, train_y), (test_images, test_y)
    return _on_test(model, *split, classes.tolist(), _fit_and_predict, seed, baselines)


def cross_validate(
    model: PretrainedEncoder, labelled: tuple[Any, Any], *, seed: int = 0, baselines: Sequence[str] = ()
) -> ProbeReport:
    """Evaluate a linear probe without test images, by the cross-validation described above.

    Args:
        model: the encoder; it is not changed.
        labelled: images as `model.features` takes them, and a label for each, numbers or strings.
        seed: the seed of the folds, the held-out labels, and the untrained baseline's weights.
        baselines: any of `"pixels"` and `"untrained"`, probed in the same way.

    Raises:
        ZooError: as in `linear_probe`, and for a class with a single label.
    """
    images, names = labelled
    classes = np.unique(np.asarray(names))
    y = _numbers("labelled", names, classes, len(images))
    return _on_folds(model, (images, y), classes.tolist(), _fit_and_predict, seed, baselines)


def probe_dataset(
    model: PretrainedEncoder, data: Dataset, *, seed: int = 0, baselines: Sequence[str] = ()
) -> ProbeReport:
    """Evaluate a linear probe with all labels of a dataset: on its test images, or else by cross-validation.

    Raises:
        ZooError: as in `linear_probe` and `cross_validate`, and for a dataset without labels.
    """
    return _on_dataset(model, data, _fit_and_predict, seed, baselines)


def knn_dataset(
    model: PretrainedEncoder, data: Dataset, *, k: int = NEIGHBOURS, seed: int = 0, baselines: Sequence[str] = ()
) -> ProbeReport:
    """Evaluate the k nearest neighbours by cosine on standardised features; nothing is tuned.

    Args:
        model: the encoder.
        data: a labelled dataset; without labelled test images, it is cross-validated as described above.
        k: number of neighbours that vote, from 1 to the number of training images.
        seed: the seed of the folds and the untrained encoder.
        baselines: any of `"pixels"` and `"untrained"`.

    Raises:
        ZooError: as in `probe_dataset`, and for a k out of range.
    """

    def classify(train_x: Tensor, train_y: Tensor, test_x: Tensor, _: Key) -> Classified:
        if not 1 <= k <= len(train_x):
            raise ZooError(f"k: expected 1 to {len(train_x)}, the number of training images, got {k}")
        return Classified(_neighbours(train_x, train_y, test_x, k), None, None)

    return _on_dataset(model, data, classify, seed, baselines)


def evaluate(
    model: PretrainedEncoder,
    data: Dataset,
    *,
    labels_per_class: Sequence[int | str] = (1, 5, 10, "all"),
    draws: int = 5,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, Any]:
    """Probe accuracy on the official test images by number of labels, for the encoder and its baselines.

    Args:
        model: the encoder.
        data: a dataset with labelled training and test images.
        labels_per_class: numbers of training labels to draw from each class, or `"all"`.
        draws: number of draws; all features are probed on the same draws.
        seed: the seed of the draws and the untrained encoder.
        baselines: any of `"pixels"` and `"untrained"`.

    Returns:
        A record of plain values. `record["results"]` has one row per kind of features and number of labels, with the
        `SCORES` of the draws, their mean and their standard deviation. `record["report"]` is the `ProbeReport` of the
        encoder with the most labels, for their first draw.

    Raises:
        ZooError: if labels or test images are missing, or a class has fewer images than requested.
    """
    (train_images, train_y), (test_images, test_y) = labelled_splits(data)
    chosen = draws_of_labels(data, labels_per_class, draws, seed)
    sources = features_by_name(model, baselines, seed)
    most = max(chosen.values(), key=lambda drawn: len(drawn[0].positions))
    rows, report = [], {}
    fits = len(sources) * sum(map(len, chosen.values()))
    bar = tqdm(total=fits, desc="probe", unit=" fits", delay=2, disable=None)
    for source, features in sources.items():
        train_x, test_x = features(train_images), features(test_images)
        for count, drawn in chosen.items():
            scores = []
            for i, (index, key) in enumerate(drawn):
                train, test = (train_x[index], train_y[index]), (test_x, test_y)
                found, score = judge(train, test, key, classes=len(data.classes))
                if source == "encoder" and drawn is most and i == 0:
                    whole = ProbeReport(**_scores(found, test_y, data.classes), strength=found.strength)
                    report = {"data": data.name, "labels": len(index), **whole.to_dict()}
                scores.append(score)
                bar.update()
            rows.append(result_row(source, data, count, drawn, scores))
    bar.close()
    return {
        "model": model.name,
        "dataset": data.name,
        "dataset_digest": data.digest,
        "test_images": len(test_y),
        "draws": draws,
        "seed": seed,
        "results": rows,
        "report": report,
    }


def draws_of_labels(
    data: Dataset, labels_per_class: Sequence[int | str], draws: int, seed: int
) -> dict[int | str, list[Draw]]:
    """The draws by number of labels per class; `"all"` has one, of all labels.

    Raises:
        ZooError: as in `evaluate`.
    """
    (_, labels), _ = labelled_splits(data)
    if draws < 1:
        raise ZooError(f"draws: expected 1 or more, got {draws}")
    if not labels_per_class:
        raise ZooError("labels per class: expected one number or more, or 'all', got none")
    key_draws, key_held_out = random.split(random.key(seed))

    def drawn(count: int | str) -> list[Tensor]:
        if count == "all":
            return [torch.arange(len(labels))]
        each = _count(count)
        return [draw_labels(random.fold_in(key_draws, i), labels, each, data.classes) for i in range(draws)]

    return {
        count: [Draw(index, random.fold_in(key_held_out, i)) for i, index in enumerate(drawn(count))]
        for count in labels_per_class
    }


def judge(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], key: Key, *, classes: int
) -> tuple[Classified, dict[str, float]]:
    """The linear probe that is fitted on features and labels, and its scores on others.

    Args:
        train: features `[N, D]` and labels int64 `[N]`.
        test: features and labels in the same form.
        key: of the labels that are held out to choose the strength.
        classes: the number of classes.

    Returns:
        What the probe finds for the test features, and the `SCORES`.
    """
    (train_x, train_y), (test_x, test_y) = train, test
    found = _fit_and_predict(train_x, train_y, test_x, key)
    near = _neighbours(train_x, train_y, test_x, min(NEIGHBOURS, len(train_x)))
    f1 = metrics.class_scores(found.labels, test_y, classes=classes).f1
    scores = {
        "linear": _accuracy(found.labels, test_y),
        "macro_f1": f1.mean().item(),
        "knn": _accuracy(near, test_y),
    }
    return found, scores


def result_row(
    features: str, data: Dataset, count: int | str, drawn: Sequence[Draw], scores: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """A row of results: the `SCORES` of each draw, their mean and their standard deviation."""
    assert data.test is not None  # on which the scores were measured
    return {
        "features": features,
        "data": data.name,
        "labels_per_class": count,
        "labels": len(drawn[0].positions),
        "test_images": len(data.test.images),
        **{score: spread([found[score] for found in scores]) for score in SCORES},
    }


def pooled(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per kind of features, dataset and number of labels, over the values of all rows of that kind."""
    parts: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        parts.setdefault((row["features"], row["data"], row["labels_per_class"]), []).append(row)
    order = list(dict.fromkeys(features for features, _, _ in parts))
    whole = [
        {**first, **{score: spread([v for row in (first, *others) for v in row[score]["values"]]) for score in SCORES}}
        for first, *others in parts.values()
    ]
    return sorted(whole, key=lambda row: order.index(row["features"]))


def draw_labels(key: Key, labels: Tensor, per_class: int, classes: Sequence[str] = ()) -> Tensor:
    """Positions of `per_class` random labels of each class, sorted, int64.

    Raises:
        ZooError: if a class has fewer labels; the message names it.
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


def labelled_splits(data: Dataset) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The training and the test images of a dataset with their labels.

    Raises:
        ZooError: if labels or test images are missing, or all training labels are the same.
    """
    train = _labelled_training(data)
    if data.test is None or data.test.labels is None:
        raise ZooError(
            f"{data.name}: has no test_images with test_labels, on which probes are evaluated; "
            "use probe_dataset to cross-validate with all labels"
        )
    return train, (data.test.images, data.test.labels)


def features_by_name(
    model: PretrainedEncoder, baselines: Sequence[str], seed: int
) -> dict[str, Callable[[Any], Tensor]]:
    """The features of the encoder and its baselines, as functions from images to float32 `[N, D]`.

    Raises:
        ZooError: for an unknown baseline.
    """
    _check_baselines(baselines)
    return {"encoder": model.features, **{name: _baseline(name, model, seed) for name in baselines}}


def spread(values: list[float]) -> Mapping[str, Any]:
    """Values with their mean and standard deviation, which is None for a single value."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
    }


def _on_dataset(
    model: PretrainedEncoder, data: Dataset, classify: Classify, seed: int, baselines: Sequence[str]
) -> ProbeReport:
    train = _labelled_training(data)
    if data.test is None or data.test.labels is None:
        return _on_folds(model, train, data.classes, classify, seed, baselines)
    return _on_test(model, train, (data.test.images, data.test.labels), data.classes, classify, seed, baselines)


def _on_test(
    model: PretrainedEncoder,
    train: tuple[Any, Tensor],
    test: tuple[Any, Tensor],
    classes: Sequence[Any],
    classify: Classify,
    seed: int,
    baselines: Sequence[str],
) -> ProbeReport:
    _check_baselines(baselines)
    key = random.key(seed)

    def classified(features: Callable[[Any], Tensor]) -> Classified:
        return classify(features(train[0]), train[1], features(test[0]), key)

    found = classified(model.features)
    others = {name: _accuracy(classified(_baseline(name, model, seed)).labels, test[1]) for name in baselines}
    return ProbeReport(**_scores(found, test[1], classes), strength=found.strength, baselines=others)


def _on_folds(
    model: PretrainedEncoder,
    labelled: tuple[Any, Tensor],
    classes: Sequence[Any],
    classify: Classify,
    seed: int,
    baselines: Sequence[str],
) -> ProbeReport:
    _check_baselines(baselines)
    images, y = labelled
    counts = torch.bincount(y, minlength=len(classes))
    if (counts == 1).any():
        name = str(classes[int((counts == 1).int().argmax())])
        raise ZooError(
            f"class {name!r} has 1 label, which cross-validation would have to hold out; "
            "give every class 2 or more labels, or add test images"
        )
    folds = min(FOLDS, int(counts[counts > 0].min()))
    key_folds, key_probes = random.split(random.key(seed))
    fold = stratified(y, key_folds, folds)

    def classified(features: Callable[[Any], Tensor]) -> Classified:
        x, predicted, confidences = features(images), torch.empty_like(y), None
        for i in range(folds):
            out = fold == i
            found = classify(x[~out], y[~out], x[out], random.fold_in(key_probes, i))
            predicted[out] = found.labels
            if found.confidences is not None:
                confidences = torch.zeros(len(y)) if confidences is None else confidences
                confidences[out] = found.confidences
        return Classified(predicted, confidences, None)

    scores = _scores(classified(model.features), y, classes)
    others = {name: _accuracy(classified(_baseline(name, model, seed)).labels, y) for name in baselines}
    return ProbeReport(**scores, strength=None, baselines=others, folds=folds)


def _fit_and_predict(train_x: Tensor, train_y: Tensor, test_x: Tensor, key: Key) -> Classified:
    probe = fit_probe(train_x, train_y, key)
    labels = probe.predict(test_x)
    confidences = probe.log_probabilities(test_x).exp().gather(1, labels[:, None])[:, 0]
    return Classified(labels, confidences, probe.strength)


def _neighbours(train_x: Tensor, train_y: Tensor, test_x: Tensor, k: int) -> Tensor:
    train_x, test_x = probes.standardize(train_x, test_x)
    return probes.knn(train_x, train_y, test_x, k=k)


def _check_baselines(names: Sequence[str]) -> None:
    for name in names:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)


def _baseline(name: str, model: PretrainedEncoder, seed: int) -> Callable[[Any], Tensor]:
    if name == "pixels":
        return model.pixels
    return untrained(model, seed).features


def _scores(found: Classified, actual: Tensor, classes: Sequence[Any]) -> dict[str, Any]:
    predicted, confidences, _ = found
    scores = metrics.class_scores(predicted, actual, classes=len(classes))
    columns = dict(zip(("precision", "recall", "f1", "images"), (column.tolist() for column in scores), strict=True))
    per_class = {str(name): {key: column[i] for key, column in columns.items()} for i, name in enumerate(classes)}
    return {
        "accuracy": _accuracy(predicted, actual),
        "macro_f1": scores.f1.mean().item(),
        "per_class": per_class,
        "confusion": metrics.confusion_matrix(predicted, actual, classes=len(classes)).tolist(),
        "predictions": [str(classes[i]) for i in predicted.tolist()],
        "confidences": [] if confidences is None else confidences.tolist(),
    }


def _accuracy(predicted: Tensor, actual: Tensor) -> float:
    return (predicted == actual).double().mean().item()


def _labelled_training(data: Dataset) -> tuple[Tensor, Tensor]:
    images, labels = data.train
    if labels is None:
        raise ZooError(f"{data.name}: has no train_labels, which a probe needs")
    if len(labels.unique()) < 2:
        name = data.classes[int(labels[0])]
        raise ZooError(f"{data.name}: all training labels are {name!r}; a probe needs two or more classes")
    return images, labels


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
        raise ZooError(f"train: all labels are {str(classes[0])!r}; a probe needs two or more classes")
    strange = np.setdiff1d(names, classes)
    if len(strange):
        raise ZooError(f"{split}: labels without a training image: {', '.join(map(str, strange[:5]))}")
    return torch.from_numpy(np.searchsorted(classes, names))


def _without_images(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if name not in ("predictions", "confidences")}
