r"""What frozen features are worth to a simple classifier: logistic regression, ridge regression, nearest neighbours.

Feature matrices in, labels and accuracies out. The linear probes take a grid of strengths and solve for all of them at
once; their weights and predictions have the strengths as first dimension. Nothing draws, so the same features give the
same fit. Features are taken as they come: `standardize` them first, by the training features alone.

    >>> train_x, test_x = torch.tensor([[0.0], [1.0], [4.0], [5.0]]), torch.tensor([[0.5], [6.0]])
    >>> train_y, test_y = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1])
    >>> train_x, test_x = standardize(train_x, test_x)
    >>> logistic(train_x, train_y, strengths=(1e-3, 1e-1)).score(test_x, test_y)
    tensor([1., 1.])
    >>> knn(train_x, train_y, test_x, k=1)
    tensor([0, 1])

Unlike the rest of `functional`, probes read values: they refuse features that are not finite and labels that cannot
be class numbers, and iterate until they have converged. They are not for `vmap`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from functional.base import Features
from functional.checks import check_floating, check_integer, check_positive, check_rank, check_same_length
from functional.metrics import accuracy
from functional.numerics import l2_normalize, promote_half


def standardize(train_x: Features, *others: Features) -> tuple[Features, ...]:
    r"""$(x - \mu) / \sigma$ per column, with the mean and standard deviation of the training features for all.

    Args:
        train_x: `[N, D]`, from which $\mu$ and the population $\sigma$ are taken.
        others: `[M, D]` each.

    Returns:
        As many matrices as came in, in at least float32. A column that is constant in `train_x` is 0 in all of them.

    Example:
        >>> standardize(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), torch.tensor([[5.0, 9.0]]))
        (tensor([[-1.,  0.],
                [ 1.,  0.]]), tensor([[3., 0.]]))
    """
    for x in (train_x, *others):
        check_rank("features", x, "rows dim")
    train_x = promote_half(train_x)
    var, mean = torch.var_mean(train_x, dim=0, correction=0)
    varies = train_x.amax(0) > train_x.amin(0)  # exact, where a rounded variance of a constant may be above 0
    scale = torch.where(varies & (var > 0), var, torch.inf).rsqrt()
    return tuple((promote_half(x) - mean) * scale for x in (train_x, *others))


class LogisticFit(NamedTuple):
    """Logistic regressions, one per strength.

    Attributes:
        weights: `[S, D, K]`.
        bias: `[S, K]`; minus infinity for a class below K without a training row.
        objective: `[S]`, float64, the minimum of the objective.
        converged: `[S]`, False where the iterations ran out first.
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

    def score(self, x: Features, y: Int64[Tensor, " rows"]) -> Float[Tensor, " strengths"]:
        """The accuracy on `x [N, D]`, `y [N]`, `[S]`."""
        return accuracy(self.predict(x), y)


def logistic(
    train_x: Features, train_y: Int64[Tensor, " rows"], *, strengths: Sequence[float], max_iterations: int = 1000
) -> LogisticFit:
    r"""TODO."""
    _check_training(train_x, train_y)
    for strength in strengths:
        check_positive("strengths", strength)
    classes, y = torch.unique(train_y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"train_y: expected at least 2 classes, got {len(train_y)} rows of class {int(classes[0])}")
    x = promote_half(train_x)
    mean = x.mean(0)
    ones = x.new_ones(len(x), 1)
    strength = torch.tensor(strengths, dtype=torch.float64, device=x.device)
    weights, objective, converged = _minimize(torch.cat([x - mean, ones], 1), y, strength, max_iterations)
    w, b = weights[..., :-1], weights[..., -1]
    b = b - w @ mean.double()
    k = int(classes[-1]) + 1
    all_w = x.new_zeros(len(strength), x.shape[1], k)
    all_b = x.new_full((len(strength), k), -torch.inf)
    all_w[..., classes] = w.permute(1, 2, 0).to(x.dtype)
    all_b[..., classes] = b.T.to(x.dtype)
    return LogisticFit(all_w, all_b, objective, converged)


def knn(
    train_x: Features, train_y: Int64[Tensor, " rows"], test_x: Features, *, k: int = 10
) -> Int64[Tensor, " test_rows"]:
    r"""TODO."""
    _check_training(train_x, train_y)
    _check_features("test_x", test_x)
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k: expected 1 <= k <= {len(train_x)}, the number of training rows, got {k}")
    train, labels = l2_normalize(train_x), []
    for rows in l2_normalize(test_x).split(max(1, _CHUNK // len(train))):
        nearest = train_y[(rows @ train.T).topk(k, dim=1).indices]
        votes = torch.zeros(len(rows), int(train_y.max()) + 1, device=rows.device)
        votes = votes.scatter_add(1, nearest, torch.ones_like(nearest, dtype=votes.dtype))
        # argmax takes the first of equals, and the neighbours come nearest first.
        best = votes.gather(1, nearest).argmax(1, keepdim=True)
        labels.append(nearest.gather(1, best)[:, 0])
    return torch.cat(labels)


_CHUNK = 2**24


def _minimize(x, y, strength, max_iterations):
    n, d1 = x.shape
    k, s = int(y.max()) + 1, len(strength)
    penalty = torch.ones(d1, dtype=torch.float64, device=x.device)
    penalty[-1] = 0
    penalty = strength[:, None] * penalty
    spectrum, axes = torch.linalg.eigh((x.T @ x / n).double())
    own = y.expand(1, s, n)

    def times_x(v):
        return (v.to(x.dtype).reshape(-1, d1) @ x.T).reshape(k, s, n)

    def gradient_of(residual, w):
        return (residual.reshape(-1, n) @ x).double().reshape(k, s, d1) / n + penalty * w

    def precondition(v, curvature):
        scale = curvature[:, :, None] * spectrum.clamp_min(0) + strength[:, None]
        return (v @ axes / scale) @ axes.T

    w = torch.zeros(k, s, d1, dtype=torch.float64, device=x.device)
    z = x.new_zeros(k, s, n)
    loss, residual = _loss_and_residual(z, own)
    g = gradient_of(residual, w)
    history = []
    objective = loss.mean(1, dtype=torch.float64)
    converged = torch.zeros(s, dtype=torch.bool, device=x.device)
    for _ in range(max_iterations):
        p = residual.abs()
        curvature = (p * (1 - p)).mean(2, dtype=torch.float64)
        objective = loss.mean(1, dtype=torch.float64) + _dot(penalty * w, w) / 2
        converged = _dot(g, precondition(g, curvature)) <= 1e-9 * objective
        if converged.all():
            break
        q, alphas = g, []
        for dw, dg, rho in reversed(history):
            alphas.append(rho * _dot(dw, q))
            q = q - alphas[-1][:, None] * dg
        q = precondition(q, curvature)
        for dw, dg, rho in history:
            q = q + (alphas.pop() - rho * _dot(dg, q))[:, None] * dw
        direction = -torch.where(converged[:, None], 0, q)
        dz = times_x(direction)
        slope = _dot(g, direction)
        pw, pd = _dot(penalty * w, direction), _dot(penalty * direction, direction)
        t = torch.ones_like(strength)
        low, slope_low = torch.zeros_like(t), slope
        high, slope_high = torch.full_like(t, torch.inf), torch.zeros_like(t)
        for _ in range(20):
            new_z = torch.addcmul(z, dz, t.to(z.dtype)[:, None])
            loss, residual = _loss_and_residual(new_z, own)
            new_slope = (residual * dz).sum((0, 2), dtype=torch.float64) / n + pw + t * pd
            ok = (new_slope.abs() <= 0.5 * slope.abs()) | converged
            if ok.all():
                break
            short = new_slope < 0
            low, slope_low = torch.where(short, t, low), torch.where(short, new_slope, slope_low)
            high, slope_high = torch.where(short, high, t), torch.where(short, slope_high, new_slope)
            inner = low + (high - low) * (slope_low / (slope_low - slope_high)).clamp(0.1, 0.9)
            t = torch.where(ok, t, torch.where(high.isinf(), 2.5 * t, inner))
        z = new_z
        dw = t[:, None] * direction
        w = w + dw
        new_g = gradient_of(residual, w)
        dg = new_g - g
        sy = _dot(dw, dg)
        history = [*history[-9:], (dw, dg, torch.where(sy > 0, 1 / torch.where(sy > 0, sy, 1), 0))]
        g = new_g
    return w, objective, converged


def _dot(a, b):
    return (a * b).sum((0, 2))


def _loss_and_residual(z, own):
    margins = (z - z.gather(0, own)).scatter(0, own, -torch.inf)
    odds = torch.logsumexp(margins, 0)
    loss = F.softplus(odds)
    return loss, torch.exp(margins - loss).scatter(0, own, -torch.sigmoid(odds)[None])


def _scores(weights: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    check_rank("x", x, "rows dim")
    if x.shape[1] != weights.shape[1]:
        raise ValueError(f"x: expected {weights.shape[1]} features, as in training, got shape {list(x.shape)}")
    return x.to(weights.dtype) @ weights + bias[:, None]


def _check_training(x: Tensor, y: Tensor) -> None:
    _check_features("train_x", x)
    check_rank("train_y", y, "rows")
    check_integer("train_y", y)
    check_same_length(train_x=x, train_y=y)
    if y.min() < 0:
        raise ValueError(f"train_y: expected class numbers from 0, got {int(y.min())}; leave out rows without a label")


def _check_features(name: str, x: Tensor) -> None:
    check_rank(name, x, "rows dim")
    check_floating(name, x)
    finite = x.isfinite().all(1)
    if not finite.all():
        raise ValueError(f"{name}: features hold NaN or infinity, first at row {int(finite.int().argmin())}")
