"""Classifiers of images: fitted to a few labels and many images without one, saved, loaded, and asked.

    >>> import zoo
    >>> data, model = zoo.load_dataset("digits"), zoo.load("simclr-resnet8-digits")
    >>> images, labels = data.train.images[:500], data.train.labels[:500]
    >>> chosen = zoo.suggest(model, images, 20)
    >>> classifier = zoo.fit(model, images[chosen], labels[chosen], unlabelled=images)
    >>> found = classifier.predict(data.test.images[:100])
    >>> bool((found.labels == data.test.labels[:100].numpy()).mean() > 0.8)
    True

A classifier directory holds all that predictions depend on:

    encoder/                  the encoder directory (`zoo.models.loading`)
    classifier.safetensors    `weights [D, K]` and `bias [K]`: probabilities are softmax(features @ weights + bias)
    classifier.json           format version, classes, SHA-256 of the two others, and the report of the fit

The bytes whose SHA-256 was checked are the bytes that are used, and nothing is unpickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.base import Features
from zoo.errors import ZooError, printable, shortened
from zoo.evaluation.few_labels import FitReport, Head, fit_head
from zoo.files import expanded, parse_json, read_tensors, save_tensors, write_atomically
from zoo.models.code import Code
from zoo.models.entries import ENTRIES
from zoo.models.loading import load
from zoo.models.pretrained import PretrainedEncoder
from zoo.models.saving import save

FORMAT_VERSION = 1
_FILE, _WEIGHTS, _ENCODER = "classifier.json", "classifier.safetensors", "encoder"


class Predictions(NamedTuple):
    """What a classifier says of N images.

    Attributes:
        labels: the most probable classes `[N]`, of the type of the labels that it was fitted to.
        probabilities: `[N, K]`, in the order of `Classifier.classes`.
    """

    labels: np.ndarray
    probabilities: Float[Tensor, "images classes"]

    @property
    def confidences(self) -> Float[Tensor, " images"]:
        """The probability of the predicted class, `[N]`."""
        return self.probabilities.amax(1)

    @property
    def margins(self) -> Float[Tensor, " images"]:
        """How much more probable the predicted class is than the next, `[N]`: 0 where the two are equal."""
        first, second = self.probabilities.topk(2, dim=1).values.unbind(1)
        return first - second


@dataclass(frozen=True, repr=False)
class Classifier:
    """An encoder with a linear classifier of its features.

    Attributes:
        encoder: the encoder.
        head: the classifier of its features.
        classes: the K classes, strings or integers, sorted.
        report: what it was made of, and how good it must be.
    """

    encoder: PretrainedEncoder
    head: Head
    classes: tuple[Any, ...]
    report: FitReport

    def predict(self, images: Any) -> Predictions:
        """The classes of images, and their probabilities.

        Args:
            images: as `PretrainedEncoder.features` takes them.

        Raises:
            ZooError: as `PretrainedEncoder.features`.
        """
        return self.predict_features(self.encoder.features(images))

    def predict_features(self, features: Float[Tensor, "images dim"]) -> Predictions:
        """The same for the features of images, `[N, D]`."""
        probabilities = self.head.scores(features).softmax(1)
        return Predictions(np.array(self.classes)[probabilities.argmax(1)], probabilities)

    def save(self, directory: str | Path, *, code: Code | str | Path | None = None) -> None:
        """Write a classifier directory. classifier.json comes last: without one, it is no classifier directory.

        Args:
            directory: the directory, created if missing; a classifier in it is replaced.
            code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

        Raises:
            ZooError: if the directory holds an encoder of something else, such as a run; as in `zoo.save`.
            OSError: if the directory cannot be written.
        """
        directory = expanded(directory)
        if (directory / _ENCODER).exists() and not (directory / _FILE).is_file():
            raise ZooError(
                f"{printable(directory)}: holds an encoder, but no classifier; choose another name, so that nothing is "
                "overwritten"
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Written beside it, so that what is there stays until all is written.
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as folder:
            self._write(Path(folder), code)
            directory.mkdir(exist_ok=True)
            (directory / _FILE).unlink(missing_ok=True)  # what it describes is about to change
            shutil.rmtree(directory / _ENCODER, ignore_errors=True)
            for name in (_ENCODER, _WEIGHTS, _FILE):
                os.replace(Path(folder) / name, directory / name)

    def _write(self, directory: Path, code: Code | str | Path | None) -> None:
        save(self.encoder, directory / _ENCODER, dtype=self.encoder.config["dtype"], code=code)
        description = {
            "format_version": FORMAT_VERSION,
            "classes": list(self.classes),
            "sha256": save_tensors(directory / _WEIGHTS, self.head._asdict(), {"encoder": self.encoder.name}),
            "encoder": self.encoder.name,
            "encoder_sha256": hashlib.sha256((directory / _ENCODER / "config.json").read_bytes()).hexdigest(),
            "report": self.report.to_dict(),
        }
        write_atomically(directory / _FILE, (json.dumps(description, indent=2) + "\n").encode())

    def __repr__(self) -> str:
        return f"Classifier({self.encoder.name!r}: {len(self.classes)} classes, by {self.report.method})"


def fit(model: PretrainedEncoder, images: Any, labels: Any, *, unlabelled: Any = None, seed: int = 0) -> Classifier:
    """Fit a classifier to a few labelled images, and to many without a label.

    Args:
        model: the encoder; it is not changed.
        images: the labelled images, as `model.features` takes them.
        labels: a label for each, strings or integers; two classes or more.
        unlabelled: other images, without labels, over which the labels spread. They make the classifier better, often
            by as much as twice as many labels; it chooses by cross-validation whether to use them.
        seed: of the folds.

    Returns:
        The classifier. `classifier.report` says what was chosen, how accurate it is, and what its probabilities are
        worth.

    Raises:
        ZooError: if the numbers of images and labels differ, if there is only one class, or as in `model.features`.
    """
    classes, y = numbered(labels, len(images))
    x = model.features(images)
    others = x[:0] if unlabelled is None or len(unlabelled) == 0 else model.features(unlabelled)
    return fit_features(model, torch.cat([x, others]), torch.arange(len(x)), (classes, y), seed=seed)


def fit_features(
    model: PretrainedEncoder,
    features: Features,
    labelled: Int64[Tensor, " labels"],
    labels: tuple[tuple[Any, ...], Tensor],
    *,
    seed: int = 0,
) -> Classifier:
    """`fit` with the features `[N, D]` of all images, positions of the labelled ones, and labels as of `numbered`."""
    classes, y = labels
    head, report = fit_head(features, labelled, y, classes, random.key(seed))
    return Classifier(model, head, classes, report)


def numbered(labels: Any, images: int) -> tuple[tuple[Any, ...], Tensor]:
    """The classes of labels, sorted, and the number of each label's class, int64.

    Raises:
        ZooError: if they are not as many as the images, not strings or integers, or of one class only.

    Example:
        >>> numbered(["dog", "cat", "dog"], 3)
        (('cat', 'dog'), tensor([1, 0, 1]))
    """
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.dtype == object and all(isinstance(value, str) for value in values.flat):  # as pandas stores strings
        values = values.astype(str)
    if values.ndim != 1 or len(values) != images:
        raise ZooError(f"labels: expected one for each of {images} images, got {list(values.shape)}")
    if not len(values):
        raise ZooError("labels: expected at least 2, of two classes, got none")
    if values.dtype.kind not in "iuU":
        raise ZooError(f"labels: expected strings or integers, got {shortened(values.flat[0])} ({values.dtype})")
    classes, y = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ZooError(f"labels: all are {str(classes[0])!r}; a classifier needs two or more classes")
    return tuple(classes.tolist()), torch.from_numpy(y)


def load_classifier(directory: str | Path, *, code: Code | str | Path | None = None) -> Classifier:
    """Load the classifier of a directory that `Classifier.save` wrote.

    Args:
        directory: the directory.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

    Raises:
        ZooError: if there is none, or its files are missing, truncated or modified, or do not belong together.
    """
    directory = expanded(directory)
    path = directory / _FILE
    if not path.is_file():
        if (directory / "config.json").is_file() or str(directory) in ENTRIES:
            there = "it is an encoder"
        else:
            there = "it has no classifier.json" if directory.is_dir() else "there is no such directory"
        raise ZooError(f"{printable(directory)}: not a classifier directory: {there}; `zoo fit` makes a classifier")
    description = _parsed(path.read_bytes(), path)
    _verified(directory / _ENCODER / "config.json", description["encoder_sha256"])
    encoder = load(directory / _ENCODER, code=code, sha256=description["encoder_sha256"])
    weights = directory / _WEIGHTS
    flat, _ = read_tensors(_verified(weights, description["sha256"]), weights)
    shapes = {"weights": [encoder.feature_dim, len(description["classes"])], "bias": [len(description["classes"])]}
    found = {name: list(tensor.shape) for name, tensor in flat.items()}
    if found != shapes or any(tensor.dtype != torch.float32 for tensor in flat.values()):
        raise ZooError(f"{printable(weights)}: expected float32 tensors {shapes}, got {found}")
    return Classifier(
        encoder, Head(**flat), tuple(description["classes"]), FitReport.from_record(description["report"])
    )


def _verified(path: Path, sha256: str) -> bytes:
    """The bytes of a file, after a check of their SHA-256."""
    if not path.is_file():
        raise ZooError(f"{printable(path)}: no such file; copy the whole classifier directory again")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ZooError(
            f"{printable(path)}: SHA-256 {found[:12]}..., but {_FILE} says {sha256[:12]}...; the file is truncated or "
            "modified; copy the classifier directory again"
        )
    return data


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    """The content of classifier.json, checked field by field."""
    try:
        found = parse_json(data)
    except ZooError as error:
        raise ZooError(f"{printable(path)}: {error}") from error
    version = found.get("format_version") if isinstance(found, dict) else None
    if version != FORMAT_VERSION:
        hint = "; install a newer funczoo" if isinstance(version, int) and version > FORMAT_VERSION else ""
        raise ZooError(f"{printable(path)}: expected format_version {FORMAT_VERSION}, got {shortened(version)}{hint}")
    for field, (is_valid, expected) in _FIELDS.items():
        if not is_valid(found.get(field)):
            raise ZooError(f"{printable(path)}: {field}: expected {expected}, got {shortened(found.get(field))}")
    return found


def _are_classes(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2 or value != sorted(set(value), key=value.index):
        return False
    return all(type(x) is str for x in value) or all(type(x) is int for x in value)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "classes": (_are_classes, "two or more different names, or different integers"),
    "sha256": (_is_digest, "64 hexadecimal digits"),
    "encoder_sha256": (_is_digest, "64 hexadecimal digits"),
    "report": (FitReport.is_record, "the report of a fit"),
}
