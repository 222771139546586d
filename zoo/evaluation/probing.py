"""The probe: how it is fitted to a few labelled features, and what it says of others.

    standardise with the mean and standard deviation of the training features
    probe       multinomial logistic regression with an L2 penalty, fitted to its optimum
    strength    chosen on held-out training labels: a fifth of them, drawn per class; each fifth in turn for at most
                1,000 labels; a fixed strength if a class has fewer than 5

`zoo.evaluation.protocol` judges encoders by it; `zoo.evaluation.estimators` is the same for scikit-learn.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from functional import probes, random
from functional.base import Features, Key

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DEFAULT_STRENGTH = 1e-2  # if a class has too few labels to hold any out
_HELD_OUT = 5  # fifths
_FEW_LABELS = 1000  # up to which every fifth is held out in turn


class Probe(NamedTuple):
    """A linear probe that is fitted.

    Attributes:
        standardize: by the mean and standard deviation of the training features.
        fit: the logistic regression, of one strength.
        strength: that of the penalty, as in `functional.probes.logistic`.
    """

    standardize: probes.Standardizer
    fit: probes.LogisticFit
    strength: float

    def log_probabilities(self, x: Features) -> Float[Tensor, "rows classes"]:
        """Log-probabilities of the classes for features `[N, D]`, `[N, K]`."""
        return self.fit.log_probabilities(self.standardize(x))[0]

    def predict(self, x: Features) -> Int64[Tensor, " rows"]:
        """The most probable classes, `[N]`."""
        return self.fit.predict(self.standardize(x))[0]


def fit_probe(x: Features, y: Int64[Tensor, " rows"], key: Key, *, strength: float | None = None) -> Probe:
    """Fit a linear probe.

    Args:
        x: training features `[N, D]`.
        y: class numbers from 0, int64 `[N]`; two classes or more.
        key: of the labels that are held out.
        strength: of the penalty; None for the one that is best on held-out labels.

    Raises:
        TypeError, ValueError: as in `functional.probes.logistic`.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> probe = fit_probe(x, y, random.key(0))
        >>> probe.strength, probe.predict(torch.tensor([[-3.0], [0.5]]))
        (0.01, tensor([0, 1]))
    """
    strength = choose_strength(x, y, key) if strength is None else strength
    standardize = probes.standardizer(x)
    return Probe(standardize, probes.logistic(standardize(x), y, strengths=(strength,)), strength)


def choose_strength(x: Features, y: Int64[Tensor, " rows"], key: Key) -> float:
    """The strength of the best accuracy on held-out labels; the weakest penalty among equals.

    Raises:
        TypeError, ValueError: as in `functional.probes.logistic`.
    """
    smallest = int(torch.bincount(y)[y.unique()].min())
    if smallest < _HELD_OUT:
        return DEFAULT_STRENGTH
    fifth = stratified(y, key, _HELD_OUT)
    right = torch.zeros(len(STRENGTHS))
    for held_out in range(_HELD_OUT if len(y) <= _FEW_LABELS else 1):
        out = fifth == held_out
        train_x, test_x = probes.standardize(x[~out], x[out])
        # To rank strengths, nearly converged probes suffice; the reported probe is fitted to its optimum.
        fit = probes.logistic(train_x, y[~out], strengths=STRENGTHS, max_iterations=40)
        right += (fit.predict(test_x) == y[out]).sum(1)
    return STRENGTHS[int(right.argmax())]  # they rise


def stratified(y: Int64[Tensor, " rows"], key: Key, parts: int) -> Int64[Tensor, " rows"]:
    """The part of every label, 0 to parts - 1, drawn so that each part has its share of every class.

    Example:
        >>> stratified(torch.tensor([0, 0, 1, 1]), random.key(0), 2).sum()
        tensor(2)
    """
    part = torch.empty_like(y)
    for i in y.unique().tolist():
        members = torch.nonzero(y == i).flatten()
        order = random.permutation(random.fold_in(key, i), len(members))
        part[members[order]] = torch.arange(len(members)) % parts
    return part
