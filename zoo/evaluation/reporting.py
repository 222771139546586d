"""What a classifier says of images, as one page to look at and to label more of them on: `zoo report`.

The accuracy on the page, and its confusion matrix, are of labels that the classifier was not fitted to. There are two
kinds of them, and the page says which it shows:

    test images       if images of the split "test" have labels: `zoo fit` leaves them out, so the classifier itself is
                      judged by them
    held-out labels   else: each label is predicted by a classifier of the same kind that was fitted without it, in the
                      folds of `zoo fit` (`zoo.evaluation.few_labels`); with the labels and the seed of the fit, these
                      are the figures that the fit printed

A label of a class that the classifier does not know is wrong in either case, as it cannot be predicted.
"""

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from functional import random
from zoo.data.images import first_few
from zoo.data.labels import read_labels, require_new
from zoo.data.sources import Source, are_files, read_source
from zoo.errors import ZooError, printable, unknown
from zoo.evaluation.calibration import ENOUGH_LABELS, calibration_error
from zoo.evaluation.few_labels import IN_WORDS, TOO_FEW, held_out
from zoo.evaluation.intervals import wilson
from zoo.evaluation.prediction import Classifier, Predictions, load_classifier, numbered
from zoo.evaluation.selection import suggest_among
from zoo.models.code import Code
from zoo.reports.figures.maps import require_umap, tsne, umap
from zoo.reports.page import write_page
from zoo.reports.page.tiles import make_tiles

_MAPS = {"tsne": (tsne, 3, "t-SNE"), "umap": (umap, 5, "UMAP")}  # with the fewest images and the name
_SLOW_FROM = 2000  # images: a map of more takes long enough to be announced
_LEAST_SURE = 24
_LARGE_TILE = 224  # pixels, of an image to label
_TILES = ((1_000, 96), (4_000, 64))  # up to so many images, tiles of so many pixels
_SMALL_TILE = 48
_DECIMALS = 4


class Judged(NamedTuple):
    """Labels that a classifier was not fitted to, and what it says of them.

    Attributes:
        images: positions of the images.
        answers: the predicted classes, by their numbers.
        right: how many answers are right.
        what: which labels they are, in a sentence.
        calibration: what the probabilities are worth, in a sentence.
    """

    images: list[int]
    answers: list[int]
    right: int
    what: str
    calibration: str

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None if they are too few to say."""
        return self.right / len(self.images) if len(self.images) >= TOO_FEW else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return wilson(self.right, len(self.images)) if len(self.images) >= TOO_FEW else None


class Findings(NamedTuple):
    """What a report found.

    Attributes:
        encoder: the name of the encoder.
        images: how many there are.
        labels: how many of them have a label.
        classes: by class, how many images are predicted to be of it.
        judged: by which labels the classifier was judged; None without any.
        suggested: the paths of the images to label next.
        path: the page.
    """

    encoder: str
    images: int
    labels: int
    classes: dict[str, int]
    judged: Judged | None
    suggested: list[str]
    path: Path

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.classes.items())
        said = f"accuracy: {accuracy_in_words(self.judged)}" if self.judged else "accuracy: no label could be held out"
        return f"{self.images:,} images, {self.labels:,} with a label: {counts}\n{said}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        judged = self.judged and {
            "labels": len(self.judged.images),
            "right": self.judged.right,
            "accuracy": self.judged.accuracy,
            "interval": self.judged.interval,
            "what": self.judged.what,
            "calibration": self.judged.calibration,
        }
        return {**self._asdict(), "judged": judged, "path": str(self.path)}


def report(
    classifier: str | Path,
    photos: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    n: int = 20,
    layout: str = "tsne",
    seed: int = 0,
    skip_bad: bool = False,
    code: Code | str | Path | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> Findings:
    """Write a page about images and what a classifier says of them: a map, its errors, and a form to label more.

    Args:
        classifier: a classifier directory.
        photos: a folder, a CSV, a file of arrays or a dataset name. Without `labels`, the labels are theirs.
        out: the path of the HTML file; it needs no other file and no network.
        labels: a CSV with the columns path and label, of training images.
        n: how many images to suggest for a label, at most: half of them the least sure ones, the others those that
            stand for the most images which neither a label nor these stand for (`zoo.suggest`).
        layout: of the map, `"tsne"` or `"umap"`.
        seed: of the folds in which labels are held out, and of the suggestions.
        skip_bad: whether to skip unreadable or truncated images, with a warning.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).
        say: called with a line before what takes long.

    Returns:
        What the page says.

    Raises:
        ZooError: if `out` is there already or does not end in .html, for an unknown layout, for UMAP without
            umap-learn, or as in `zoo.load_classifier`, `read_source` and `read_labels`.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, zoo
        >>> data, model = zoo.load_dataset("digits"), zoo.load("simclr-resnet8-digits")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fitted = zoo.fit(model, data.train.images[:60], [f"{label}" for label in data.train.labels[:60].tolist()])
        ...     fitted.save(f"{folder}/classifier")
        ...     found = report(f"{folder}/classifier", "digits", f"{folder}/report.html", n=4)
        >>> found.images, found.judged.what
        (1797, 'the 500 test images with a label, which zoo fit leaves out')
    """
    out = require_new(out, ".html")
    if layout not in _MAPS:
        raise unknown("map", layout, _MAPS)
    if n < 0:
        raise ZooError(f"--next: expected 0 or more, got {n}")
    if layout == "umap":
        require_umap()
    loaded = load_classifier(classifier, code=code)
    found, files = read_source([photos], loaded.encoder.input_shape, skip_bad=skip_bad), are_files(photos)
    given = _given(found, labels, files)
    features = loaded.encoder.features(found.images)
    said = loaded.predict_features(features)
    judged = _judged(loaded, features, said, found.splits, given, seed)
    least_sure = said.margins.argsort(stable=True).tolist()
    suggested = _suggested(features, least_sure, found.splits, given, n, seed)
    if len(found.paths) > _SLOW_FROM:
        say(f"map of {len(found.paths):,} images by {_MAPS[layout][2]}: this takes a while")
    points, caption = _mapped(features, layout)
    root, names = _rooted(found.paths) if files else ("", list(found.paths))
    classes = _classes(loaded)
    strange = sorted({label for label in given if label is not None} - set(classes))
    numbers = {name: i for i, name in enumerate([*classes, *strange])}
    data = {
        "summary": _summary(loaded, printable(photos), root, found, given, judged),
        "classes": classes,
        "strange": strange,
        "root": root,
        "paths": names,
        "x": _rounded(points[:, 0]),
        "y": _rounded(points[:, 1]),
        "map": caption,
        "labels": [-1 if label is None else numbers[label] for label in given],
        "predictions": said.probabilities.argmax(1).tolist(),
        "probabilities": _rounded(said.confidences),
        "margins": _rounded(said.margins),
        "test": [i for i, split in enumerate(found.splits) if split == "test"],
        "judged": judged and {"images": judged.images, "answers": judged.answers, "what": judged.what},
        "leastSure": least_sure[:_LEAST_SURE],
        "suggested": suggested,
        "command": _next_fit(classifier, photos, code),
        "key": hashlib.sha256("\n".join([root, *names]).encode()).hexdigest()[:16],
    }
    paths = found.paths if files else None
    tiles = make_tiles(found.images, paths, _tile(len(found.paths)))
    large = make_tiles(found.images[suggested], paths and [paths[i] for i in suggested], _LARGE_TILE)
    write_page(out, f"Report: {printable(photos)}", data, tiles, large)
    counts = torch.bincount(said.probabilities.argmax(1), minlength=len(classes)).tolist()
    return Findings(
        loaded.encoder.name,
        len(found.paths),
        sum(label is not None for label in given),
        dict(zip(classes, counts, strict=True)),
        judged,
        [found.paths[i] for i in suggested],
        out,
    )


def _given(found: Source, labels: str | Path | None, files: bool) -> list[str | None]:
    """The label of each image: of a training image in the CSV, if there is one; of a test image its own."""
    if labels is None:
        return list(found.labels)
    train = [i for i, split in enumerate(found.splits) if split == "train"]
    read = read_labels(labels, [found.paths[i] for i in train], files=files)
    given = [label if split == "test" else None for label, split in zip(found.labels, found.splits, strict=True)]
    for position, label in read.items():
        given[train[position]] = label
    return given


def _classes(classifier: Classifier) -> list[str]:
    """The names of the classes, as labels in files are spelled."""
    return [printable(str(name)) for name in classifier.classes]


def _judged(
    classifier: Classifier,
    features: Tensor,
    said: Predictions,
    splits: Sequence[str],
    given: Sequence[str | None],
    seed: int,
) -> Judged | None:
    """The labels that the classifier was not fitted to, and its answers; None without any."""
    classes, answers = _classes(classifier), said.probabilities.argmax(1).tolist()
    if test := [i for i, label in enumerate(given) if label is not None and splits[i] == "test"]:
        numbers = [classes.index(label) if (label := given[i]) in classes else -1 for i in test]
        error = calibration_error(said.probabilities[test], torch.tensor(numbers))
        right = sum(answers[i] == number for i, number in zip(test, numbers, strict=True))
        what = f"the {len(test):,} test images with a label, which zoo fit leaves out"
        strange = [given[i] for i, number in zip(test, numbers, strict=True) if number < 0]
        return Judged(test, [answers[i] for i in test], right, what + _wrong(strange), _calibration(error, len(test)))
    train = [i for i, split in enumerate(splits) if split == "train"]
    known = [i for i in train if given[i] in classes]
    strange = [i for i in train if given[i] is not None and given[i] not in classes]
    images, guessed, right, what, calibration = [], [], 0, "", ""
    if len({given[i] for i in known}) > 1:
        names, y = numbered([given[i] for i in known], len(known))
        position = {i: row for row, i in enumerate(train)}
        rows = torch.tensor([position[i] for i in known])
        method = classifier.report.method
        which, scores, found = held_out(features[train], rows, y, random.key(seed), method=method)
        images = [i for i, can in zip(known, which.tolist(), strict=True) if can]
        guessed = [classes.index(names[k]) for k in scores.argmax(1).tolist()]
        right = int((scores.argmax(1) == y[which]).sum())
        alone = [given[i] for i, can in zip(known, which.tolist(), strict=True) if not can]
        kind = IN_WORDS[method if len(known) < len(train) else "logistic"]
        what = f"{len(images):,} labels, each predicted by {kind} that was fitted without it (cross-validation)"
        if alone:
            what += f"; not of {first_few(map(str, alone))}, with one label"
        if found.ece is not None:
            calibration = _calibration(found.ece, found.labels)
    if not images and not strange:
        return None
    what = what if images else f"{len(strange):,} labels"
    images, guessed = images + strange, guessed + [answers[i] for i in strange]
    return Judged(images, guessed, right, what + _wrong([given[i] for i in strange]), calibration)


def _wrong(strange: Sequence[str | None]) -> str:
    """That labels of unknown classes count as wrong, if there are any."""
    if not strange:
        return ""
    names = first_few(sorted({str(name) for name in strange}))
    return f"; {len(strange):,} labels of classes that the classifier does not know count as wrong: {names}"


def _calibration(error: float, labels: int) -> str:
    few = f": too few to trust this, {ENOUGH_LABELS} or more say something" if labels < ENOUGH_LABELS else ""
    return f"off by {100 * error:.0f} points of 100 on average (calibration error, on {labels:,} labels){few}"


def _suggested(
    features: Tensor, least_sure: Sequence[int], splits: Sequence[str], given: Sequence[str | None], n: int, seed: int
) -> list[int]:
    """Positions of the images to label next, as `report` says; of training images only, as test images are not fitted."""
    train = [i for i, split in enumerate(splits) if split == "train"]
    free = [i for i in least_sure if splits[i] == "train" and given[i] is None]
    unsure = free[: -(-min(n, len(free)) // 2)]
    rest = min(n, len(free)) - len(unsure)
    if not rest:
        return unsure
    taken = {*unsure, *(i for i in train if given[i] is not None)}
    position = {i: row for row, i in enumerate(train)}
    chosen = suggest_among(features[train], rest, seed=seed, labelled=[position[i] for i in taken])
    return unsure + [train[row] for row in chosen.tolist()]


def _mapped(features: Tensor, layout: str) -> tuple[np.ndarray, str]:
    """Points in the unit square, `[N, 2]`, and what they are."""
    function, fewest, name = _MAPS[layout]
    if len(features) < fewest:
        return np.stack([np.linspace(0.1, 0.9, len(features)), np.full(len(features), 0.5)], 1), (
            f"{name} needs {fewest} images or more, so they stand in a row."
        )
    points = function(features)
    low, span = points.min(0), float(np.ptp(points, axis=0).max())
    return (points - low) / (span or 1.0), f"{name} of the features: images that are alike to the encoder are close."


def _rooted(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that holds all files, with a separator at its end, and their paths from there."""
    absolute = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in absolute])
    root = folder if folder.endswith(os.sep) else folder + os.sep
    return root, [path[len(root) :] for path in absolute]


def _rounded(values: Any) -> list[float]:
    return [round(value, _DECIMALS) for value in values.tolist()]


def _tile(images: int) -> int:
    return next((side for most, side in _TILES if images <= most), _SMALL_TILE)


def _next_fit(classifier: str | Path, photos: str | Path, code: Any) -> str:
    """The command that fits a classifier to the labels that the page saves, as `labels.csv`."""
    number = 2
    while os.path.lexists(Path(f"{os.path.normpath(classifier)}-{number}").expanduser()):
        number += 1
    words = ["zoo", "fit", os.path.join(classifier, "encoder"), photos, "--labels", "labels.csv"]
    words += ["--out", f"{os.path.normpath(classifier)}-{number}"]
    if isinstance(code, str | Path):
        words += ["--code", code]
    return shlex.join(printable(word) for word in words)


def _summary(
    classifier: Classifier,
    photos: str,
    root: str,
    found: Source,
    given: Sequence[str | None],
    judged: Judged | None,
) -> list[tuple[str, str]]:
    """The first lines of the page: terms and what is to be said of them."""
    labelled, fitted = sum(label is not None for label in given), classifier.report.lines()
    tests = found.splits.count("test")
    images = f"{len(found.paths):,} of {root or photos}, {labelled:,} with a label"
    if tests:
        images += f"; {tests:,} are test images"
    if judged is None:
        why = "no label is given that could be held out" if labelled else "no labels are given"
        accuracy, calibration = f"{why}; when the classifier was fitted: {fitted[1].removeprefix('accuracy ')}", ""
    else:
        accuracy, calibration = accuracy_in_words(judged), judged.calibration
    return [
        ("Images", images),
        ("Encoder", printable(classifier.encoder.name)),
        ("Classifier", fitted[0]),
        ("Accuracy", accuracy),
        ("Probabilities", calibration or fitted[2].removeprefix("probabilities: ")),
    ]


def accuracy_in_words(judged: Judged) -> str:
    """How many answers are right, of which labels, and what that says."""
    counted = f"{judged.right:,} of {len(judged.images):,} right"
    if judged.accuracy is None or judged.interval is None:
        return f"{counted}, too few to say more: {judged.what}"
    low, high = (f"{100 * bound:.0f}" for bound in judged.interval)
    return f"{100 * judged.accuracy:.0f} %, 95 % interval {low} to {high} %; {counted}, of {judged.what}"
