r"""Simple classifiers of frozen features: logistic regression, ridge regression, nearest neighbours, label spreading.

Probes map feature matrices to labels and accuracies. The linear probes take a grid of strengths and solve for all of
them at once; their weights and predictions have the strengths as first dimension. Nothing is random, so the same
features give the same fit. Probes do not scale features: `standardize` them first, by the training features alone.

    >>> train_x, test_x = torch.tensor([[0.0], [1.0], [4.0], [5.0]]), torch.tensor([[0.5], [6.0]])
    >>> train_y, test_y = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1])
    >>> train_x, test_x = standardize(train_x, test_x)
    >>> logistic(train_x, train_y, strengths=(1e-3, 1e-1)).score(test_x, test_y)
    tensor([1., 1.])
    >>> knn(train_x, train_y, test_x, k=1)
    tensor([0, 1])

Unlike most of `functional`, probes read values: they reject features that are not finite and labels that cannot be
class numbers, and iterate until they have converged. They do not work under `vmap`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from functional.base import Features
from functional.checks import check_integer, check_positive, check_rank, check_same_length
from functional.metrics import accuracy
from functional.neighbours import Graph, nearest
from functional.numerics import check_features, l2_normalize, promote_half
from functional.solvers import logistic_regression


def standardize(train_x: Features, *others: Features) -> tuple[Features, ...]:
    r"""$(x - \mu) / \sigma$ per column, with the mean and standard deviation of the training features for all.

    Args:
        train_x: `[N, D]`, from which $\mu$ and the population $\sigma$ are taken.
        others: `[M, D]` each.

    Returns:
        As many matrices as were passed, in at least float32. A column that is constant in `train_x` is 0 in all of
        them.

    Example:
        >>> standardize(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), torch.tensor([[5.0, 9.0]]))
        (tensor([[-1.,  0.],
                [ 1.,  0.]]), tensor([[3., 0.]]))
    """
    scale = standardizer(train_x)
    return tuple(scale(x) for x in (train_x, *others))


class Standardizer(NamedTuple):
    """The standardisation of `standardize`, to be applied to features that come later.

    Attributes:
        mean: of the training features, `[D]`.
        scale: 1 / their standard deviation, `[D]`; 0 for a constant column.
    """

    mean: Float[Tensor, " dim"]
    scale: Float[Tensor, " dim"]

    def __call__(self, x: Features) -> Features:
        """The standardised `x [M, D]`, in at least float32."""
        check_rank("features", x, "rows dim")
        return (promote_half(x) - self.mean) * self.scale


def standardizer(train_x: Features) -> Standardizer:
    """The standardisation by the mean and standard deviation of `train_x [N, D]`.

    Example:
        >>> scale = standardizer(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
        >>> scale(torch.tensor([[5.0, 9.0]]))
        tensor([[3., 0.]])
    """
    check_rank("features", train_x, "rows dim")
    var, mean = torch.var_mean(promote_half(train_x), dim=0, correction=0)
    return Standardizer(mean, torch.where(var > 0, var, torch.inf).rsqrt())


class LogisticFit(NamedTuple):
    """Logistic regressions, one per strength.

    Attributes:
        weights: `[S, D, K]`.
        bias: `[S, K]`; minus infinity for a class below K without training rows.
        objective: `[S]`, float64, the minimum of the objective.
        converged: `[S]`, False where the minimum was not reached.
    """

    weights: Float[Tensor, "strengths dim classes"]
    bias: Float[Tensor, "strengths classes"]
    objective: Float[Tensor, " strengths"]
    converged: Bool[Tensor, " strengths"]

    def log_probabilities(self, x: Features) -> Float[Tensor, "strengths rows classes"]:
        """Log-probabilities `[S, N, K]` of the rows of `x [N, D]`."""
        return _scores(self.weights, self.bias, x).log_softmax(-1)

    def predict(self, x: Features) -> Int64[Tensor, "strengths rows"]:
        """The most probable class, `[S, N]`."""
        return _scores(self.weights, self.bias, x).argmax(-1)

    def score(self, x: Features, y: Int[Tensor, " rows"]) -> Float[Tensor, " strengths"]:
        """The accuracy on `x [N, D]`, `y [N]`, `[S]`."""
        return accuracy(self.predict(x), y)


def logistic(
    train_x: Features, train_y: Int[Tensor, " rows"], *, strengths: Sequence[float], max_iterations: int = 1000
) -> LogisticFit:
    r"""L2-regularised multinomial logistic regression, for every strength of a grid in one solve.

    $$\min_{W, b} \; \frac{1}{N} \sum_{i=1}^{N} -\log \mathrm{softmax}(x_i W + b)_{y_i} + \frac{\lambda}{2} \|W\|_2^2$$

    The bias is not regularised. The minimum is unique up to a constant added to all biases; here their sum is 0. The
    relative error of the objective is below 1e-5.

    Args:
        train_x: features `[N, D]`. A single strength is fair to all of them if they are standardised.
        train_y: class numbers from 0, integers `[N]`. There are K = largest + 1 classes; a class without rows gets
            probability 0.
        strengths: the S values of $\lambda$ > 0.
        max_iterations: the limit on iterations. Tens are usual, hundreds for weak strengths.

    Returns:
        A `LogisticFit` with S regressions, in the dtype of the features, at least float32. `converged` is False for a
        strength that ran out of iterations or was stopped by rounding: then raise `max_iterations`, or pass float64.

    Raises:
        TypeError: if the features are not floating point or the labels are not integers.
        ValueError: if features are not finite, labels are below 0 or of one class only, lengths differ, or a strength
            is not above 0.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> fit = logistic(x, y, strengths=(0.1, 1.0))
        >>> fit.predict(torch.tensor([[-3.0], [0.5]]))
        tensor([[0, 1],
                [0, 1]])
        >>> fit.weights[:, 0]
        tensor([[-0.9236,  0.9236],
                [-0.3574,  0.3574]])

    Note:
        `solvers.logistic_regression` is the solver.

        scikit-learn's `LogisticRegression` sums the losses: its C is $1 / (N \lambda)$. With two classes it has one
        column of weights instead of two opposite ones, whose penalty is twice as large: there C is $2 / (N \lambda)$,
        and its weights are the difference of our columns.

        In addition to the features, memory holds about eight arrays `[S, K, N]` in their dtype.
    """
    _check_training(train_x, train_y, strengths)
    strength = torch.tensor(strengths, dtype=torch.float64, device=train_x.device)
    classes, y = torch.unique(train_y.long(), return_inverse=True)
    solution = logistic_regression(train_x, y, strengths=strength, max_iterations=max_iterations)
    # The best bias of a class without rows is minus infinity.
    k, dtype = int(classes[-1]) + 1, promote_half(train_x).dtype
    weights = train_x.new_zeros(len(strength), train_x.shape[1], k, dtype=dtype)
    bias = train_x.new_full((len(strength), k), -torch.inf, dtype=dtype)
    weights[..., classes] = solution.weights.mT.to(dtype)
    bias[..., classes] = solution.bias.to(dtype)
    return LogisticFit(weights, bias, solution.objective, solution.converged)


class RidgeFit(NamedTuple):
    """Ridge regressions on class indicators, one per strength.

    Attributes:
        weights: `[S, D, K]`.
        bias: `[S, K]`.
    """

    weights: Float[Tensor, "strengths dim classes"]
    bias: Float[Tensor, "strengths classes"]

    def predict(self, x: Features) -> Int64[Tensor, "strengths rows"]:
        """The class of the largest output, `[S, N]`."""
        return _scores(self.weights, self.bias, x).argmax(-1)

    def score(self, x: Features, y: Int[Tensor, " rows"]) -> Float[Tensor, " strengths"]:
        """The accuracy on `x [N, D]`, `y [N]`, `[S]`."""
        return accuracy(self.predict(x), y)


def ridge(train_x: Features, train_y: Int[Tensor, " rows"], *, strengths: Sequence[float]) -> RidgeFit:
    r"""Ridge regression on class indicators, for every strength from one eigendecomposition.

    $$\min_{W, b} \; \frac{1}{2N} \sum_{i=1}^{N} \|x_i W + b - e_{y_i}\|_2^2 + \frac{\lambda}{2} \|W\|_2^2$$

    where $e_y$ is 1 at the class y and 0 elsewhere. The bias is not regularised. Solved in float64.

    Args:
        train_x: features `[N, D]`, standardised.
        train_y: class numbers from 0, integers `[N]`; K = largest + 1.
        strengths: the S values of $\lambda$ > 0.

    Returns:
        A `RidgeFit` with S regressions, in the dtype of the features, at least float32.

    Raises:
        TypeError, ValueError: as in `logistic`.

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> ridge(x, y, strengths=(0.5,)).weights
        tensor([[[-0.2500,  0.2500]]])

    Note:
        scikit-learn's `Ridge` sums the squares without halving: its alpha is $N \lambda$. Its `RidgeClassifier` has
        targets -1 and 1, so its weights are twice these, with the same predictions.
    """
    _check_training(train_x, train_y, strengths)
    return _ridge(train_x, F.one_hot(train_y.long()), strengths)


def ridge_regression(
    train_x: Features, targets: Float[Tensor, "batch targets"], *, strengths: Sequence[float]
) -> RidgeFit:
    r"""Ridge regression on any targets, from one eigendecomposition for all of them and all strengths.

    $$\min_{W, b} \; \frac{1}{2N} \sum_{i=1}^{N} \|x_i W + b - t_i\|_2^2 + \frac{\lambda}{2} \|W\|_2^2$$

    `ridge` is this with class indicators; here they may be those of several labellings of the same rows, side by side.

    Args:
        train_x: features `[N, D]`, standardised.
        targets: `[N, T]`.
        strengths: the S values of $\lambda$ > 0.

    Returns:
        A `RidgeFit` with weights `[S, D, T]`, in the dtype of the features, at least float32.

    Raises:
        TypeError: if features or targets are not floating point.
        ValueError: if they are not finite, lengths differ, or a strength is not above 0.

    Example:
        >>> x, targets = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([[-4.0], [-2.0], [2.0], [4.0]])
        >>> ridge_regression(x, targets, strengths=(1e-6, 2.5)).weights.flatten()
        tensor([2.0000, 1.0000])
    """
    check_features("train_x", train_x)
    check_features("targets", targets)
    check_same_length(train_x=train_x, targets=targets)
    _check_strengths(strengths)
    return _ridge(train_x, targets, strengths)


def _ridge(x: Tensor, targets: Tensor, strengths: Sequence[float]) -> RidgeFit:
    """Solved in float64, which only some rows at a time are converted to."""
    strength = torch.tensor(strengths, dtype=torch.float64, device=x.device)[:, None, None]
    n, d = x.shape
    mean, share = x.mean(0, dtype=torch.float64), targets.mean(0, dtype=torch.float64)
    # The smaller of two equivalent systems: (X'X + aI)^-1 X'T = X' (XX' + aI)^-1 T.
    tall = n >= d
    if tall:
        products = torch.zeros(d, d, dtype=torch.float64, device=x.device)
        right = torch.zeros(d, targets.shape[1], dtype=torch.float64, device=x.device)
        for rows, wanted in zip(x.split(_ROWS_AT_ONCE), targets.split(_ROWS_AT_ONCE), strict=True):
            rows = rows.double() - mean
            products += rows.T @ rows
            right += rows.T @ wanted.double()
    else:
        centred = x.double() - mean
        products, right = centred @ centred.T, targets.double()
    spectrum, axes = torch.linalg.eigh(products)
    weights = axes @ ((axes.T @ right) / (spectrum.clamp_min(0)[:, None] + n * strength))
    weights = weights if tall else (x.double() - mean).T @ weights
    bias = share - mean @ weights
    dtype = promote_half(x).dtype
    return RidgeFit(weights.to(dtype), bias.to(dtype))


_ROWS_AT_ONCE = 4096


def knn(
    train_x: Features, train_y: Int[Tensor, " rows"], test_x: Features, *, k: int = 10
) -> Int64[Tensor, " test_rows"]:
    r"""The most frequent class among the k nearest training rows, by cosine similarity.

    Among tied classes, the one with the nearest row wins.

    Args:
        train_x: features `[N, D]`. Their norms do not matter; a row of zeros has similarity 0 to everything.
        train_y: class numbers from 0, integers `[N]`.
        test_x: features `[M, D]`.
        k: 1 <= k <= N. 1 and 2 give the same result: the nearest row's class.

    Returns:
        The predicted labels of the test rows, `[M]`.

    Raises:
        TypeError: if the features are not floating point or the labels are not integers.
        ValueError: if features are not finite or their dimensions differ, labels are below 0, lengths differ, or k is
            out of range.

    Example:
        >>> train_x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
        >>> knn(train_x, torch.tensor([0, 1, 1]), torch.tensor([[5.0, 1.0]]), k=3)
        tensor([1])

    Note:
        Every neighbour has one vote; Wu et al. (arXiv:1805.01978) and lightly weight votes by similarity over a
        temperature. scikit-learn's `KNeighborsClassifier` gives a tie to the smallest class number. Which of several
        equally similar rows are the k nearest is up to `torch.topk`; in scikit-learn it is up to its sort.
    """
    check_features("train_x", train_x)
    _check_labels(train_x, train_y)
    check_features("test_x", test_x)
    if test_x.shape[1] != train_x.shape[1]:
        raise ValueError(
            f"test_x: expected {train_x.shape[1]} features, as in training, got shape {list(test_x.shape)}"
        )
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k: expected 1 <= k <= {len(train_x)}, the number of training rows, got {k}")
    labels = train_y.long()[nearest(l2_normalize(train_x), l2_normalize(test_x), k=k).positions]  # the nearest first
    votes = labels.new_zeros(len(labels), int(train_y.max()) + 1).scatter_add(1, labels, torch.ones_like(labels))
    # argmax returns the first of equals, hence the class with the nearest row.
    winner = votes.gather(1, labels).argmax(1, keepdim=True)
    return labels.gather(1, winner)[:, 0]


class Spread(NamedTuple):
    """Labels that were spread over a graph.

    Attributes:
        scores: `[N, K]`, not negative; each column sums to 1, or to 0 for a class without a label.
        labels: the class of the largest score of each row, int64 `[N]`; -1 where no label leads.
        mass: `[K]`, float64, what the columns summed to before they were scaled. As scores times mass is linear in the
            labels, one call with a class for every part of the labels gives the scores for all unions of parts.
    """

    scores: Float[Tensor, "rows classes"]
    labels: Int64[Tensor, " rows"]
    mass: Float[Tensor, " classes"]


def spread(
    graph: Graph,
    labelled: Int[Tensor, " labels"],
    labels: Int[Tensor, " labels"],
    *,
    alpha: float = 0.99,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
) -> Spread:
    r"""Label spreading: a few labels move along the edges of a graph until every row has scores.

    $$F = (I - \alpha S)^{-1} Y, \qquad \hat y_i = \arg\max_k \frac{F_{ik}}{\sum_j F_{jk}}$$

    with $S = D^{-1/2} W D^{-1/2}$ of the graph, and $Y_{ik}$ = 1 for a row i of label k, 0 elsewhere. The columns of
    F are solved for together, by conjugate gradients, and then scaled to the same mass: without that, the class with
    the most labels wins wherever classes meet.

    Args:
        graph: of N rows, as of `functional.neighbours.neighbour_graph`.
        labelled: positions of the L labelled rows, each once.
        labels: their class numbers from 0, `[L]`; K = largest + 1.
        alpha: how far labels move, 0 < alpha < 1.
        tolerance: the norm of each column's residual, relative to that of Y.
        max_iterations: the limit on iterations; about 50 are usual.

    Returns:
        `Spread` in the dtype of the graph, with the labelled rows among the others: where a label contradicts its
        neighbourhood, the row may get another one.

    Raises:
        TypeError: if positions or labels are not integers.
        ValueError: if a position is out of range or is there twice, labels are below 0, lengths differ, alpha is out of
            range, or there are no labels.
        RuntimeError: if the limit on iterations is reached.

    Example:
        >>> from functional.neighbours import neighbour_graph
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.2], [0.0, 1.0], [0.1, 1.0], [0.2, 0.9]])
        >>> spread(neighbour_graph(x, k=2), torch.tensor([0, 5]), torch.tensor([0, 1])).labels
        tensor([0, 0, 0, 1, 1, 1])

    References:
        Zhou, Bousquet, Lal, Weston, Schoelkopf. Learning with local and global consistency. NeurIPS 2003, section 2.
        Zhu, Ghahramani, Lafferty. Semi-supervised learning using Gaussian fields and harmonic functions. ICML 2003,
        section 4 (class mass normalisation).

    Note:
        scikit-learn's `LabelSpreading` iterates $F \leftarrow \alpha S F + (1 - \alpha) Y$, at most 30 times by
        default, from a graph without weights or a dense one, and does not scale the columns. Converged, its F is
        $1 - \alpha$ times this one. Class mass normalisation here takes all classes to be equally frequent.

        Columns are solved for some at a time: in addition to the scores, memory holds about 8 arrays of at most 16 MiB
        of float32, or of N numbers.
    """
    n = len(graph.starts) - 1
    _check_spread(n, labelled, labels, alpha)
    dtype, device = graph.weights.dtype, graph.weights.device
    scores = torch.zeros(n, int(labels.max()) + 1, dtype=dtype, device=device)
    mass = torch.zeros(scores.shape[1], dtype=torch.float64, device=device)
    for classes in torch.arange(scores.shape[1], device=device).split(max(1, _SOLVED_AT_ONCE // n)):
        here = (labels[:, None] == classes).nonzero()
        y = torch.zeros(n, len(classes), dtype=dtype, device=device)
        y[labelled[here[:, 0]].long(), here[:, 1]] = 1
        f = _conjugate_gradients(lambda v: v - alpha * graph.times(v), y, tolerance, max_iterations).clamp_min(0)
        mass[classes] = f.sum(0, dtype=torch.float64)
        scores[:, classes] = f / torch.where(mass[classes] > 0, mass[classes], 1).to(dtype)
    best, winner = scores.max(1)
    return Spread(scores, torch.where(best > 0, winner, -1), mass)


_SOLVED_AT_ONCE = 2**22  # numbers of a right-hand side: 16 MiB of float32


def _conjugate_gradients(times: Callable[[Tensor], Tensor], y: Tensor, tolerance: float, max_iterations: int) -> Tensor:
    """The solution of A x = y for each column, for a symmetric positive definite A."""
    x, residual = torch.zeros_like(y), y
    direction, square = residual, residual.square().sum(0)
    enough = tolerance**2 * square
    for _ in range(max_iterations):
        if (square <= enough).all():
            return x
        moved = times(direction)
        # A column that has converged, or is 0, has steps of length 0.
        length = torch.where(square > enough, square / (direction * moved).sum(0), 0)
        x, residual = x + length * direction, residual - length * moved
        before, square = square, residual.square().sum(0)
        direction = residual + torch.where(before > 0, square / before, 0) * direction
    raise RuntimeError(f"no solution in {max_iterations} iterations; raise max_iterations, or lower alpha")


def _scores(weights: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    check_rank("x", x, "rows dim")
    if x.shape[1] != weights.shape[1]:
        raise ValueError(f"x: expected {weights.shape[1]} features, as in training, got shape {list(x.shape)}")
    return x.to(weights.dtype) @ weights + bias[:, None]


def _check_labels(x: Tensor, y: Tensor) -> None:
    check_rank("train_y", y, "rows")
    check_integer("train_y", y)
    check_same_length(train_x=x, train_y=y)
    if not len(y):
        raise ValueError("train_x: expected at least one row, got none")
    if y.min() < 0:
        raise ValueError(f"train_y: expected class numbers from 0, got {int(y.min())}; leave out rows without a label")


def _check_training(x: Tensor, y: Tensor, strengths: Sequence[float]) -> None:
    check_features("train_x", x)
    _check_labels(x, y)
    if (y == y[0]).all():
        raise ValueError(f"train_y: expected at least 2 classes, got {len(y)} rows of class {int(y[0])}")
    _check_strengths(strengths)


def _check_strengths(strengths: Sequence[float]) -> None:
    if not len(strengths):
        raise ValueError("strengths: expected at least one, got none")
    for strength in strengths:
        check_positive("strengths", strength)


def _check_spread(n: int, labelled: Tensor, labels: Tensor, alpha: float) -> None:
    check_rank("labelled", labelled, "labels")
    check_rank("labels", labels, "labels")
    check_integer("labelled", labelled)
    check_integer("labels", labels)
    check_same_length(labelled=labelled, labels=labels)
    if not len(labels):
        raise ValueError("labels: expected at least one, got none")
    if labels.min() < 0:
        raise ValueError(f"labels: expected class numbers from 0, got {int(labels.min())}")
    if labelled.min() < 0 or labelled.max() >= n or len(labelled.unique()) < len(labelled):
        raise ValueError(f"labelled: expected positions in 0..{n - 1}, each once, got {labelled.tolist()[:5]}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: expected a number between 0 and 1, got {alpha}")
