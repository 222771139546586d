"""A classifier of features from a few labels and many rows without one: what it is, and how good it must be.

    spread      the labels spread over the graph of neighbours of all rows (`functional.probes.spread`); a ridge
                regression on all rows with the labels that they got then works on new ones
    logistic    the linear probe of the labelled rows alone (`zoo.evaluation.probing`)

Both are linear in the features. Cross-validation on the given labels chooses between them: labels are held out, a fold
at a time, of 10 folds for at most 50 labels and of 5 for more; the only label of a class is never
held out. Spreading is the default with unlabelled rows. It gives way if the logistic probe gets more held-out labels
right, by more than chance would make of it. The same held-out labels give the accuracy with its 95 % interval, and the
temperature of the probabilities.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from functional import neighbours, probes, random
from functional.base import Features, Key
from zoo.evaluation.calibration import ENOUGH_LABELS, Calibration, calibrate
from zoo.evaluation.intervals import sign_test, wilson
from zoo.evaluation.probing import fit_probe
from zoo.evaluation.selection import DIRECTIONS
from zoo.models.options import is_number

METHODS = ("spread", "logistic")
IN_WORDS = {"spread": "label spreading", "logistic": "logistic regression"}
_RIDGE_DIRECTIONS = 256
_RIDGE_STRENGTH = 0.1
_USUAL_TEMPERATURE = {"spread": 0.2, "logistic": 2.0}
_CHANCE = 0.1  # the probability, by a sign test, below which spreading gives way
_FEW, _FOLDS_OF_FEW, _FOLDS = 50, 10, 5
TOO_FEW = 10  # held-out labels, below which they say nothing
_TOO_WIDE = 0.2  # of an interval


class Head(NamedTuple):
    """A linear classifier of features: scores `x @ weights + bias`, whose softmax are probabilities."""

    weights: Float[Tensor, "dim classes"]
    bias: Float[Tensor, " classes"]

    def scores(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows classes"]:
        """The scores of features `[N, D]`, `[N, K]`."""
        return x @ self.weights + self.bias


@dataclass(frozen=True)
class FitReport:
    """What a classifier was made of, and what its labels say of it. It prints as a few lines.

    Attributes:
        method: `"spread"` or `"logistic"`.
        labels: how many labels of each class there are.
        unlabelled: the number of images without a label.
        held_out: how many labels were held out in turn; those of classes with a single label cannot be.
        right: by method, how many of these it got right.
        accuracy: the share of them that the chosen method got right; None if there are too few to say.
        interval: its 95 % interval; None if there are too few to say.
        calibration: temperature, log loss and expected calibration error.
    """

    method: str
    labels: dict[str, int]
    unlabelled: int
    held_out: int
    right: dict[str, int]
    accuracy: float | None
    interval: tuple[float, float] | None
    calibration: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "calibration": self.calibration._asdict(), "summary": self.lines()}

    @staticmethod
    def is_record(value: Any) -> bool:
        """Whether a value from a file is what `to_dict` makes."""
        if not isinstance(value, dict):
            return False
        right, interval, calibration = (value.get(name) for name in ("right", "interval", "calibration"))
        return (
            _are_counts(value.get("labels"))
            and isinstance(right, dict)
            and _are_counts(right)
            and set(right) <= set(METHODS)
            and value.get("method") in list(right)
            and all(type(value.get(name)) is int for name in ("unlabelled", "held_out"))
            and (
                interval is None
                or (isinstance(interval, list) and len(interval) == 2 and all(map(is_number, interval)))
            )
            and (value.get("accuracy") is None or is_number(value["accuracy"]))
            and isinstance(calibration, dict)
            and set(calibration) == set(Calibration._fields)
            and is_number(calibration["temperature"])
            and type(calibration["labels"]) is int
            and all(calibration[name] is None or is_number(calibration[name]) for name in ("log_loss", "ece"))
        )

    @classmethod
    def from_record(cls, value: dict[str, Any]) -> "FitReport":
        """The report in what `to_dict` made."""
        fields = {field.name: value[field.name] for field in dataclasses.fields(cls)}
        interval = None if fields["interval"] is None else tuple(fields["interval"])
        return cls(**{**fields, "interval": interval, "calibration": Calibration(**fields["calibration"])})

    def lines(self) -> list[str]:
        """What was chosen and why, how accurate it is, and what its probabilities are worth."""
        return [self._choice(), self._accuracy(), self._probabilities()]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _choice(self) -> str:
        n, of = sum(self.labels.values()), f"{len(self.labels)} classes"
        made = f"{IN_WORDS[self.method]} from {n:,} labels of {of}"
        if not self.unlabelled:
            return f"{made}; there are no unlabelled images, over which labels could spread"
        made += f" and {self.unlabelled:,} unlabelled images"
        if self.held_out < TOO_FEW:
            return f"{made}; too few labels to compare it with another classifier"
        counts = ", ".join(f"{IN_WORDS[method]} {right:,}" for method, right in self.right.items())
        chance = ", a difference that can be chance" if self.right[self.method] < max(self.right.values()) else ""
        return f"{made}; of {self.held_out:,} labels that were held out in turn, right: {counts}{chance}"

    def _accuracy(self) -> str:
        alone = [name for name, count in self.labels.items() if count == 1]
        rest = f"; not of {', '.join(alone[:5])}{' ...' * (len(alone) > 5)}, with one label" if alone else ""
        if self.accuracy is None or self.interval is None:
            return f"accuracy: {self.held_out} labels can be held out, too few to say{rest}"
        low, high = self.interval
        wide = ", too few to say more" if high - low > _TOO_WIDE else ""
        return (
            f"accuracy on images like the labelled ones: {100 * self.accuracy:.0f} %, 95 % interval {100 * low:.0f} to "
            f"{100 * high:.0f} %, on {self.held_out:,} held-out labels{wide}{rest}"
        )

    def _probabilities(self) -> str:
        _, log_loss, ece, n = self.calibration
        if log_loss is None or ece is None:
            return "probabilities: no label could be held out to calibrate them"
        few = f", which are too few to trust these figures: {ENOUGH_LABELS} or more say something"
        return (
            f"probabilities: log loss {log_loss:.2f}, calibration error {100 * ece:.0f} % on {n:,} held-out labels"
            f"{few if n < ENOUGH_LABELS else ''}"
        )


class Prepared(NamedTuple):
    """What spreading needs of features and not of labels: prepared once, it serves many labellings.

    Attributes:
        graph: of the neighbours.
        axes: the principal directions.
        standardize: of the coordinates on the directions.
        coordinates: of the rows, standardised, `[N, dim]`.
    """

    graph: neighbours.Graph
    axes: neighbours.Axes
    standardize: probes.Standardizer
    coordinates: Float[Tensor, "rows directions"]


def prepare(x: Features) -> Prepared:
    """Prepare features `[N, D]` for spreading."""
    axes = neighbours.principal_axes(x, max(DIRECTIONS, _RIDGE_DIRECTIONS))
    graph = neighbours.neighbour_graph(axes.directions(x, DIRECTIONS))
    coordinates = axes.coordinates(x)
    standardize = probes.standardizer(coordinates)
    return Prepared(graph, axes, standardize, standardize(coordinates))


def fit_head(
    x: Features,
    labelled: Int64[Tensor, " labels"],
    y: Int64[Tensor, " labels"],
    classes: Sequence[Any],
    key: Key,
) -> tuple[Head, FitReport]:
    """Fit a classifier of features.

    Args:
        x: features of all rows, `[N, D]`.
        labelled: positions of the L rows with a label. If that is all of them, nothing is spread.
        y: their class numbers, `[L]`: each of 0..K - 1, K >= 2, occurs.
        classes: the K names.
        key: of the folds.

    Returns:
        The classifier, with calibrated probabilities, and a report.
    """
    key_folds, key_probe = random.split(key)
    part, unlabelled = folds(y, key_folds), len(x) - len(labelled)
    heads = {method: _heads(method, x, labelled, y, part, key_probe) for method in _possible(unlabelled)}
    can = part >= 0
    scores = {method: held_out_scores(found, x[labelled], part)[can] for method, found in heads.items()}
    right = {method: found.argmax(1) == y[can] for method, found in scores.items()}
    method = better(right)
    calibration = calibrate(scores[method], y[can], usual=_USUAL_TEMPERATURE[method])
    whole, n = heads[method][-1], int(can.sum())
    enough, count = n >= TOO_FEW, {name: int(found.sum()) for name, found in right.items()}
    report = FitReport(
        method,
        dict(zip(map(str, classes), y.bincount().tolist(), strict=True)),
        unlabelled,
        n,
        count,
        count[method] / n if enough else None,
        wilson(count[method], n) if enough else None,
        calibration,
    )
    t = calibration.temperature
    return Head(whole.weights / t, whole.bias / t), report


def held_out(
    x: Features, labelled: Int64[Tensor, " labels"], y: Int64[Tensor, " labels"], key: Key, *, method: str
) -> tuple[Bool[Tensor, " labels"], Float[Tensor, "held_out classes"], Calibration]:
    """What classifiers of one method say of the labels that they were fitted without.

    With the key, the rows and the labels of `fit_head` these are the answers that its report counts.

    Args:
        x, labelled, y, key: as in `fit_head`.
        method: `"spread"` or `"logistic"`; without unlabelled rows it is the latter, as in `fit_head`.

    Returns:
        Which labels can be held out, bool `[L]`; the scores of these n, `[n, K]`; and the calibration.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2], [9.0]]), torch.tensor([0, 0, 0, 1, 1, 1, 2])
        >>> which, scores, _ = held_out(x, torch.arange(7), y, random.key(0), method="logistic")
        >>> which.tolist(), (scores.argmax(1) == y[:6]).all()
        ([True, True, True, True, True, True, False], tensor(True))
    """
    key_folds, key_probe = random.split(key)
    part = folds(y, key_folds)
    method = method if method in _possible(len(x) - len(labelled)) else "logistic"
    heads = _heads(method, x, labelled, y, part, key_probe)
    scores = held_out_scores(heads, x[labelled], part)[part >= 0]
    return part >= 0, scores, calibrate(scores, y[part >= 0], usual=_USUAL_TEMPERATURE[method])


def folds(y: Int64[Tensor, " rows"], key: Key) -> Int64[Tensor, " rows"]:
    """The fold in which each label is held out; -1 for the only label of a class, which never is.

    The labels of a class are spread over as many folds as there are, and folds are of the same size.

    Example:
        >>> folds(torch.tensor([0, 0, 1, 2, 2]), random.key(0)).sort().values
        tensor([-1,  0,  1,  2,  3])
    """
    order = random.permutation(key, len(y))
    order = order[y[order].argsort(stable=True)]  # class by class
    order = order[y.bincount()[y[order]] > 1]
    part = torch.full_like(y, -1)
    part[order] = torch.arange(len(order)) % (_FOLDS_OF_FEW if len(y) <= _FEW else _FOLDS)
    return part


def _possible(unlabelled: int) -> tuple[str, ...]:
    """The methods that there are, the default first: without unlabelled rows nothing can spread."""
    return METHODS if unlabelled else ("logistic",)


def _heads(method: str, x: Tensor, labelled: Tensor, y: Tensor, part: Tensor, key: Key) -> dict[int, Head]:
    """The classifier without each fold, and at -1 the one of all labels."""
    if method == "spread":
        return spread_heads(prepare(x), labelled, y, part)
    return logistic_heads(x[labelled], y, part, key)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and type(n) is int for k, n in value.items())


def better(right: dict[str, Tensor]) -> str:
    """The default method, which is the first, unless the last is better by more than chance.

    Args:
        right: by method, which of the held-out labels it got right, `[n]`.

    Example:
        >>> wrong, right = torch.tensor([True] * 4 + [False] * 8), torch.tensor([True] * 12)
        >>> better({"spread": wrong, "logistic": right}), better({"spread": right, "logistic": wrong})
        ('logistic', 'spread')
    """
    first, last = next(iter(right)), next(reversed(right))
    if len(right[first]) < TOO_FEW:
        return first
    losses = int((right[last] & ~right[first]).sum())
    wins = int((right[first] & ~right[last]).sum())
    return last if losses > wins and sign_test(wins, losses) < _CHANCE else first


def held_out_scores(heads: dict[int, Head], x: Tensor, part: Tensor) -> Tensor:
    """The scores of each label by the classifier that was fitted without it; 0 for labels that are never held out."""
    scores = x.new_zeros(len(x), len(heads[-1].bias))
    for fold, head in heads.items():
        if fold >= 0:
            scores[part == fold] = head.scores(x[part == fold])
    return scores


def logistic_heads(x: Tensor, y: Tensor, part: Tensor, key: Key) -> dict[int, Head]:
    """The probe without each fold, and at -1 the one of all labels."""
    heads = {}
    for fold in (-1, *part[part >= 0].unique().tolist()):
        kept = part != fold if fold >= 0 else torch.ones_like(part, dtype=torch.bool)
        probe = fit_probe(x[kept], y[kept], random.fold_in(key, fold + 1))
        weights = probe.standardize.scale[:, None] * probe.fit.weights[0]
        heads[fold] = Head(weights, probe.fit.bias[0] - probe.standardize.mean @ weights)
    return heads


def spread_heads(prepared: Prepared, labelled: Tensor, y: Tensor, part: Tensor) -> dict[int, Head]:
    """The ridge regression on labels that were spread without each fold, and at -1 with all of them.

    Rows that no label reaches count as rows of no class.
    """
    classes = int(y.max()) + 1
    # One system for all folds: scores are linear in the labels, so the labels of each fold and class spread alone.
    groups, group = torch.unique(torch.stack([part, y]), dim=1, return_inverse=True)
    alone = probes.spread(prepared.graph, labelled, group)
    parts, targets = (-1, *part[part >= 0].unique().tolist()), []
    for fold in parts:
        used = (groups[0] != fold) | (fold < 0)
        mass = (alone.mass * used)[:, None] * F.one_hot(groups[1], classes)  # [groups, classes]
        best, winner = (alone.scores @ (mass / mass.sum(0)).to(alone.scores.dtype)).max(1)
        target = F.one_hot(winner, classes) * (best > 0)[:, None]
        target[labelled[used[group]]] = F.one_hot(y[used[group]], classes)
        targets.append(target.float())
    # And one regression, whose eigendecomposition depends on no label.
    fit = probes.ridge_regression(prepared.coordinates, torch.cat(targets, 1), strengths=(_RIDGE_STRENGTH,))
    weights, bias = fit.weights[0].split(classes, 1), fit.bias[0].split(classes)
    return {fold: _of_features(prepared, w, b) for fold, w, b in zip(parts, weights, bias, strict=True)}


def _of_features(prepared: Prepared, weights: Tensor, bias: Tensor) -> Head:
    """A classifier of standardised coordinates as one of the features themselves."""
    _, axes, standardize, _ = prepared
    weights = weights * standardize.scale[:, None]
    bias = bias - standardize.mean @ weights
    weights = axes.columns @ weights
    return Head(weights, bias - axes.mean @ weights)
