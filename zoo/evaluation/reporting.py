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
import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from functional import neighbours, random
from zoo.data.labels import read_labels, require_new
from zoo.data.sources import Source, are_files, read_source
from zoo.errors import ZooError, first_few, printable, unknown
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
_MAPPED = 3000  # images: t-SNE takes half a minute for these, and four minutes for 10,000
_SLOW_FROM = 1000  # images: a map of more takes long enough to be announced
_BETWEEN = 3  # neighbours, in the middle of which an image is placed
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
        what: which labels they are, in sentences.
        calibration: what the probabilities are worth, in a sentence; empty if the labels cannot say.
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
        judged = "no label could be held out to judge by"
        if self.judged:
            judged = f"accuracy: {accuracy_in_words(self.judged)}"
        return f"{self.images:,} images, {self.labels:,} with a label: {counts}\n{judged}"

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
        found = {**self._asdict(), "judged": judged, "written": [str(self.path)]}
        del found["path"]
        return found


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
        >>> arrays = {"train_images": data.train.images[:60], "train_labels": data.train.labels[:60]}
        >>> arrays |= {"test_images": data.test.images[:40], "test_labels": data.test.labels[:40]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/few.npz", **arrays)
        ...     zoo.fit(model, data.train.images[:60], data.train.labels[:60]).save(f"{folder}/classifier")
        ...     found = report(f"{folder}/classifier", f"{folder}/few.npz", f"{folder}/report.html", n=4)
        >>> found.images, found.judged.what
        (100, 'These are test images, which zoo fit leaves out.')
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
        "key": hashlib.sha256(json.dumps([root, names, given]).encode()).hexdigest()[:16],
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
        numbers = torch.tensor([classes.index(label) if (label := given[i]) in classes else -1 for i in test])
        answered = [answers[i] for i in test]
        right = int((torch.tensor(answered) == numbers).sum())
        what = "These are test images, which zoo fit leaves out."
        what += _wrong([str(given[i]) for i in test if given[i] not in classes])
        error = calibration_error(said.probabilities[test], numbers)
        return Judged(test, answered, right, what, _calibration(error, len(test)))
    train = [i for i, split in enumerate(splits) if split == "train"]
    strange = [i for i in train if given[i] is not None and given[i] not in classes]
    found = _cross_validated(classifier, features[train], [given[i] for i in train], seed)
    if found is None and not strange:
        return None
    found = found or Judged([], [], 0, "", "")
    return Judged(
        [train[row] for row in found.images] + strange,
        found.answers + [answers[i] for i in strange],
        found.right,
        (found.what + _wrong([str(given[i]) for i in strange])).strip(),
        found.calibration,
    )


def _cross_validated(classifier: Classifier, features: Tensor, given: Sequence[str | None], seed: int) -> Judged | None:
    """The labels of known classes, held out in turn; None if there is no second class or none can be held out."""
    classes = _classes(classifier)
    rows = [row for row, label in enumerate(given) if label in classes]
    if len({given[row] for row in rows}) < 2:
        return None
    names, y = numbered([given[row] for row in rows], len(rows))
    method, labelled = classifier.report.method, torch.tensor(rows)
    which, scores, calibration = held_out(features, labelled, y, random.key(seed), method=method)
    if not which.any():
        return None
    kind = IN_WORDS[method if len(rows) < len(features) else "logistic"]
    what = f"Labels were held out in turn: each is predicted by {kind} that was fitted without it (cross-validation)."
    if alone := [str(given[row]) for row, can in zip(rows, which.tolist(), strict=True) if not can]:
        what += f" The single label of a class cannot be held out: {first_few(alone)}."
    fitted = classifier.report.labels
    if fitted != dict(zip(map(str, names), y.bincount().tolist(), strict=True)):
        what += f" The classifier itself was fitted to {sum(fitted.values()):,} labels, not to these {len(rows):,}."
    guessed = scores.argmax(1)
    return Judged(
        labelled[which].tolist(),
        [classes.index(names[k]) for k in guessed.tolist()],
        int((guessed == y[which]).sum()),
        what,
        "" if calibration.ece is None else _calibration(calibration.ece, calibration.labels),
    )


def _wrong(strange: Sequence[str]) -> str:
    """That labels of unknown classes count as wrong, if there are any."""
    if not strange:
        return ""
    names = first_few(sorted(set(strange)))
    return f" Labels of classes that the classifier does not know count as wrong ({len(strange):,}): {names}."


def _calibration(error: float, labels: int) -> str:
    few = f", too few to trust the figure: {ENOUGH_LABELS} or more say something" if labels < ENOUGH_LABELS else ""
    return (
        f"On average a probability is {100 * error:.0f} percentage points too high or too low (expected calibration "
        f"error on {labels:,} labels{few})."
    )


def _suggested(
    features: Tensor, least_sure: Sequence[int], splits: Sequence[str], given: Sequence[str | None], n: int, seed: int
) -> list[int]:
    """Positions of the images to label next, as `report` says; training images only, as others are not fitted."""
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
    n = len(features)
    if n < fewest:
        row = np.stack([np.linspace(0.1, 0.9, n), np.full(n, 0.5)], 1)
        return row, f"{name} needs {fewest} images or more: these stand in a row."
    caption = f"{name} of the features: images that are alike to the encoder are close."
    some = torch.arange(min(n, _MAPPED)) * n // min(n, _MAPPED)
    points = torch.from_numpy(np.asarray(function(features[some]), np.float32))
    if len(some) < n:
        rows = neighbours.directions(features)
        points_of_rest = points[neighbours.nearest(rows[some], rows, k=_BETWEEN).positions].mean(1)
        points_of_rest[some] = points
        points = points_of_rest
        caption += f" It was computed for {len(some):,}; each other image lies in the middle of its {_BETWEEN} nearest."
    low, span = points.amin(0), float((points.amax(0) - points.amin(0)).max())
    return ((points - low) / (span or 1.0)).numpy(), caption


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
    """The command that fits a classifier to the labels that the page saves, where most browsers save it."""
    number = 2
    while os.path.lexists(Path(f"{os.path.normpath(classifier)}-{number}").expanduser()):
        number += 1
    own = ["--code", code] if isinstance(code, str | Path) else []
    before = ["zoo", "fit", os.path.join(classifier, "encoder"), photos]
    after = ["--out", f"{os.path.normpath(classifier)}-{number}", *own]
    first, last = (shlex.join(printable(word) for word in words) for words in (before, after))
    return f"{first} --labels ~/Downloads/labels.csv {last}"  # a shell replaces ~ only outside quotes


def _summary(
    classifier: Classifier,
    photos: str,
    root: str,
    found: Source,
    given: Sequence[str | None],
    judged: Judged | None,
) -> list[tuple[str, str]]:
    """The first lines of the page: terms and what is to be said of them."""
    labelled, (made, accurate, calibrated) = sum(label is not None for label in given), classifier.report.lines()
    images = f"{len(found.paths):,} in {root or photos}, {labelled:,} with a label"
    if tests := found.splits.count("test"):
        images += f"; {tests:,} are test images"
    if judged is None:
        why = "None of the labels can be held out." if labelled else "No labels are given."
        accuracy, probabilities = f"{why} When the classifier was fitted: {accurate}.", ""
    else:
        accuracy, probabilities = accuracy_in_words(judged), judged.calibration
    return [
        ("Images", images),
        ("Encoder", printable(classifier.encoder.name)),
        ("Classifier", made[0].upper() + made[1:]),
        ("Accuracy", accuracy),
        ("Probabilities", probabilities or f"When the classifier was fitted: {calibrated}."),
    ]


def accuracy_in_words(judged: Judged) -> str:
    """How many answers are right, of which labels, and what that says."""
    counted = f"{judged.right:,} of {len(judged.images):,} are right"
    if judged.accuracy is None or judged.interval is None:
        return f"{counted}, too few to say more. {judged.what}"
    low, high = (f"{100 * bound:.0f}" for bound in judged.interval)
    return f"{100 * judged.accuracy:.0f} %, 95 % interval {low} to {high} %: {counted}. {judged.what}"
