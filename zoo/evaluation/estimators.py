"""Encoders and the probe as scikit-learn estimators: for pipelines, searches and cross-validation.

>>> import zoo
>>> from sklearn.pipeline import make_pipeline
>>> data = zoo.load_dataset("digits")
>>> images, labels = data.train.images.numpy(), data.train.labels.numpy()
>>> classifier = make_pipeline(zoo.EncoderTransformer("simclr-resnet8-digits"), zoo.LinearProbe())
>>> classifier.fit(images[:100], labels[:100]).score(images[100:300], labels[100:300]) > 0.9
True
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from functional import random
from functional.base import Key
from zoo.errors import ZooError, shortened
from zoo.evaluation.probing import fit_probe
from zoo.models.code import Code
from zoo.models.loading import load
from zoo.models.pretrained import PretrainedEncoder

_FLOATS = [np.float64, np.float32]
# Of a configuration: what features depend on. The SHA-256 is that of the weights.
_OF_FEATURES = ("architecture", "input_shape", "mean", "std", "sha256")


class LinearProbe(ClassifierMixin, BaseEstimator):
    """The linear probe of this package as a scikit-learn classifier of features.

    Standardisation and multinomial logistic regression with an L2 penalty, whose strength is chosen on held-out labels
    (`zoo.evaluation.probing`). It is the probe of `zoo.linear_probe`, with the same result for the same seed.

    Args:
        strength: of the penalty, as in `functional.probes.logistic`; None to choose it.
        random_state: the seed of the labels that are held out to choose the strength; as for other estimators also a
            `RandomState`, or None for numpy's.

    Attributes:
        classes_: the labels, sorted, `[K]`.
        strength_: the strength of the penalty.
        probe_: the fitted `zoo.evaluation.probing.Probe`.
        n_features_in_: the number of features.
        feature_names_in_: their names, if they had any.

    Example:
        >>> features, labels = [[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"]
        >>> probe = LinearProbe().fit(features, labels)
        >>> probe.predict([[-3.0], [0.5]]).tolist(), probe.strength_
        (['no', 'yes'], 0.01)
    """

    def __init__(self, *, strength: float | None = None, random_state: Any = 0) -> None:
        self.strength = strength
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the probe to features `[N, D]` and labels `[N]`, numbers or strings.

        Raises:
            ValueError: for features that are no finite numbers, labels that are no classes or all the same, different
                numbers of the two, or a strength that is not above 0.
        """
        X, y = validate_data(self, X, y, dtype=_FLOATS)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ZooError(f"y: all labels are {shortened(y[0])}, one class; a probe needs two or more classes")
        if self.strength is not None and not (isinstance(self.strength, Real) and 0 < self.strength < np.inf):
            raise ZooError(f"strength: expected a number above 0, or None to choose it, got {shortened(self.strength)}")
        self.probe_ = fit_probe(_tensor(X), torch.from_numpy(numbers), _key(self.random_state), strength=self.strength)
        self.strength_ = self.probe_.strength
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-probabilities of the classes, `[N, K]`; with two classes the log-odds of the second, `[N]`."""
        scores = self._log_probabilities(X).numpy()
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes, `[N, K]`, in the order of `classes_`."""
        return self._log_probabilities(X).exp().numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most probable labels, `[N]`."""
        x = self._features(X)
        return self.classes_[self.probe_.predict(x).numpy()]

    def _log_probabilities(self, X: Any) -> Tensor:
        x = self._features(X)
        return self.probe_.log_probabilities(x)

    def _features(self, X: Any) -> Tensor:
        check_is_fitted(self)
        return _tensor(np.asarray(validate_data(self, X, dtype=_FLOATS, reset=False)))


class EncoderTransformer(TransformerMixin, BaseEstimator):
    """An encoder as a scikit-learn transformer, from images to features; nothing is learnt.

    It is pickled by name: the pickle has no weights. Where it is loaded, the encoder is loaded again, its digests are
    checked, and it must be the one that was fitted.

    Args:
        name: what `zoo.load` takes: a name of the zoo, a directory or an address.
        code: as for `zoo.load`.

    Attributes:
        digest_: SHA-256 of what the features depend on: architecture, preprocessing and the SHA-256 of the weights.

    Example:
        >>> images = np.zeros((3, 1, 8, 8), np.uint8)
        >>> encoder = EncoderTransformer("simclr-resnet8-digits").fit(images)
        >>> encoder.transform(images).shape, encoder.get_feature_names_out()[:2].tolist()
        ((3, 64), ['f0', 'f1'])
    """

    def __init__(self, name: str | Path, *, code: Code | str | Path | None = None) -> None:
        self.name = name
        self.code = code

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the encoder, and check the form of the images by the first one.

        Args:
            X: as for `transform`.
            y: not used.

        Raises:
            ZooError: if the encoder cannot be loaded, or images have another form than it takes.
        """
        model = load(self.name, code=self.code)
        model.features(_images(X)[:1])
        self._model, self.digest_ = model, _digest(model.config)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The features of images, float32 `[N, D]`.

        Args:
            X: uint8 `[N, C, H, W]`, or paths or PIL images in a list, an array or a column of a table.

        Raises:
            ZooError: for images of another form, and if the name now denotes another encoder than the fitted one.
        """
        return self._fitted_model().features(_images(X)).numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """`f0`, `f1`, ..., as in the files of `zoo embed`. Images have no names, so the argument is not used."""
        return np.array([f"f{i}" for i in range(self._fitted_model().feature_dim)], dtype=object)

    def _fitted_model(self) -> PretrainedEncoder:
        check_is_fitted(self)
        if not hasattr(self, "_model"):  # after unpickling
            model = load(self.name, code=self.code)
            if _digest(model.config) != self.digest_:
                raise ZooError(
                    f"{self.name}: holds another encoder than the one that was fitted; restore it, or fit again"
                )
            self._model = model
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_model"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.no_validation = True
        return tags


def _tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(np.ascontiguousarray(x))  # a copy, because arrays can be read-only


def _key(random_state: Any) -> Key:
    generator = check_random_state(random_state)  # refuses what is no seed
    return random.key(int(random_state if isinstance(random_state, Integral) else generator.randint(2**31)))


def _images(images: Any) -> Any:
    """Images as `features` takes them: columns of tables and arrays of paths become lists."""
    if not isinstance(images, Tensor | np.ndarray | Sequence):
        images = np.asarray(images)
    return images.tolist() if isinstance(images, np.ndarray) and images.dtype.kind in "OU" else images


def _digest(config: Mapping[str, Any]) -> str:
    described = {name: config[name] for name in _OF_FEATURES}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
