r"""Solvers for many problems at once: L-BFGS, logistic regression with it, and nonlinear least squares.

`lbfgs` minimises S functions of matrices `[K, D]` in one batch. An `Objective` describes them by pure functions of a
`Point`, the current iterates of the problems; problems leave the batch as they converge. `logistic_regression` defines
such an objective and solves it for several strengths of regularisation:

    >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
    >>> solution = logistic_regression(x, y, strengths=torch.tensor([0.1, 1.0]))
    >>> solution.weights[..., 0], solution.converged
    (tensor([[-0.9236,  0.9236],
            [-0.3574,  0.3574]], dtype=torch.float64), tensor([True, True]))

L-BFGS reads values to decide when to stop, so it does not work under `vmap`.

`levenberg_marquardt` fits the inputs of a function to its outputs, row by row: the latents of a decoder to images.

References:
    Liu, Nocedal. On the limited memory BFGS method for large scale optimization. Mathematical Programming 45, 1989.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from functional import tree
from functional.base import Features
from functional.checks import (
    check_between,
    check_floating,
    check_integer,
    check_rank,
    check_same_length,
    check_same_shape,
)
from functional.numerics import promote_half

_MEMORY = 20  # pairs of changes that L-BFGS remembers
_DAMPING = 0.03  # lambda of the first step of Levenberg-Marquardt
_TRIALS = 20  # step lengths that a line search tries


class Point(NamedTuple):
    """The current iterates of the S problems of a batch.

    Attributes:
        weights: `[S, K, D]`.
        value: `[S]`, the values of the functions.
        gradient: `[S, K, D]`.
        kept: a tree of tensors `[S, ...]`: data of each problem, and what the objective reuses from point to point.
            Its rows leave the batch together with the problems, so everything that differs between problems belongs
            here.
    """

    weights: Tensor
    value: Tensor
    gradient: Tensor
    kept: Any = ()


class Objective(NamedTuple):
    """S convex functions, in the three parts that L-BFGS needs.

    Attributes:
        along: `(point, direction) -> at`, where `at(t)` returns a tuple: the slopes `[S]` along the direction at
            lengths `t [S]`, then anything that `arrive` can use.
        arrive: `(point, change, found) -> point` at `point.weights + change`, from the result of `at` at that length.
        precondition: `point -> (v -> v)`, a positive semidefinite linear map of `[S, K, D]`, roughly the inverse of
            the Hessian there. L-BFGS starts from it.
    """

    along: Callable[[Point, Tensor], Callable[[Tensor], tuple[Any, ...]]]
    arrive: Callable[[Point, Tensor, tuple[Any, ...]], Point]
    precondition: Callable[[Point], Callable[[Tensor], Tensor]]


class Minimum(NamedTuple):
    """The result of `lbfgs`.

    Attributes:
        weights: `[S, K, D]`.
        value: `[S]`, the values of the functions.
        converged: `[S]`, False where the minimum was not reached.
    """

    weights: Float[Tensor, "problems classes dim"]
    value: Float[Tensor, " problems"]
    converged: Bool[Tensor, " problems"]


def lbfgs(objective: Objective, start: Point, *, max_iterations: int = 1000, tolerance: float = 1e-7) -> Minimum:
    r"""The minima of S convex functions by limited-memory BFGS, all in one batch.

    A problem has converged when $g^\top H g \le \tau f$, with its value $f$, its gradient $g$ and the inverse Hessian
    $H$ of L-BFGS. In the quadratic model, the value is half of $g^\top H g$ above the minimum. A converged problem
    leaves the batch; so does one whose line search fails because rounding hides the slope.

    Args:
        objective: the functions. Their values must be above 0.
        start: the starting point, with weights `[S, K, D]`.
        max_iterations: the limit on iterations.
        tolerance: $\tau$ > 0.

    Returns:
        A `Minimum`, in the dtypes of `start`.

    Raises:
        ValueError: if the weights are not `[S, K, D]`.

    Example:
        >>> centres = torch.tensor([1.0, 5.0]).reshape(2, 1, 1)
        >>> def point(weights, centres):  # 1 + |w - c|^2
        ...     return Point(weights, 1 + (weights - centres).square().sum((1, 2)), 2 * (weights - centres), centres)
        >>> def along(point, direction):
        ...     def at(t):
        ...         w = point.weights + t[:, None, None] * direction
        ...         return (2 * ((w - point.kept) * direction).sum((1, 2)),)
        ...     return at
        >>> objective = Objective(
        ...     along=along,
        ...     arrive=lambda old, change, found: point(old.weights + change, old.kept),
        ...     precondition=lambda point: lambda v: v,
        ... )
        >>> lbfgs(objective, point(torch.zeros(2, 1, 1), centres)).weights.flatten()
        tensor([1., 5.])
    """
    check_rank("start.weights", start.weights, "problems rows columns")
    point, pairs, length = start, (), torch.ones_like(start.value)
    weights, values = point.weights.clone(), point.value.clone()
    converged = torch.zeros_like(values, dtype=torch.bool)
    running = torch.arange(len(values), device=values.device)
    for _ in range(max_iterations + 1):
        direction = _two_loops(point.gradient, pairs, objective.precondition(point))
        done = -_dot(point.gradient, direction) <= tolerance * point.value
        weights[running], values[running], converged[running] = point.weights, point.value, done
        unfinished = ~done & (length > 0)
        if not unfinished.any():
            break
        if not unfinished.all():
            point, pairs, length, direction, running = _rows(unfinished, (point, pairs, length, direction, running))
        slope = _dot(point.gradient, direction)
        length, found = line_search(objective.along(point, direction), slope, length)
        dw = length[:, None, None] * direction
        old, point = point, objective.arrive(point, dw, found)
        dg = point.gradient - old.gradient
        # The line search ensures a product of -t * slope / 2 or more. Much less is rounding: the pair is ignored.
        product = _dot(dw, dg)
        rho = torch.where(product > -0.1 * length * slope, 1 / product, 0)
        pairs = (*pairs, (dw, dg, rho))[-_MEMORY:]
    return Minimum(weights, values, converged)


def line_search(
    at: Callable[[Tensor], tuple[Any, ...]], slope: Float[Tensor, " problems"], t: Float[Tensor, " problems"]
) -> tuple[Float[Tensor, " problems"], tuple[Any, ...]]:
    """Step lengths at which the slopes of S convex functions have at least halved, in one batch.

    Only slopes are compared: near a minimum, values differ by less than rounding.

    Args:
        at: maps lengths `[S]` to a tuple that starts with the slopes `[S]`.
        slope: at length 0, `[S]`, below 0.
        t: the initial lengths, `[S]`, above 0.

    Returns:
        The lengths `[S]`, at which slopes are at most half of `slope` in absolute value, or 0 where none was found; and
        the result of `at` for them.

    Example:
        >>> lengths, _ = line_search(lambda t: (t - 3,), torch.tensor([-3.0]), torch.tensor([1.0]))
        >>> lengths  # any from 1.5 to 4.5 would do
        tensor([3.])
    """
    low, slope_low = torch.zeros_like(t), slope
    high, slope_high = torch.full_like(t, torch.inf), torch.zeros_like(t)
    point = at(t)
    for _ in range(_TRIALS):
        found = point[0].abs() <= -0.5 * slope
        if found.all():
            return t, point
        short = point[0] < 0
        low, slope_low = torch.where(short, t, low), torch.where(short, point[0], slope_low)
        high, slope_high = torch.where(short, high, t), torch.where(short, slope_high, point[0])
        secant = low + (high - low) * (slope_low / (slope_low - slope_high)).clamp(0.1, 0.9)
        beyond = t * (slope / (slope - slope_low)).clamp(2, 10)
        t = torch.where(found, t, torch.where(high.isinf(), beyond, secant))
        point = at(t)
    t = torch.where(point[0].abs() <= -0.5 * slope, t, 0)
    return t, at(t)


class Regressions(NamedTuple):
    """The result of `logistic_regression`: one regression per strength, in float64.

    Attributes:
        weights: `[S, K, D]`.
        bias: `[S, K]`.
        objective: `[S]`, the minimum.
        converged: `[S]`, False where the minimum was not reached.
    """

    weights: Float[Tensor, "strengths classes dim"]
    bias: Float[Tensor, "strengths classes"]
    objective: Float[Tensor, " strengths"]
    converged: Bool[Tensor, " strengths"]


def logistic_regression(
    x: Features, y: Int[Tensor, " rows"], *, strengths: Float[Tensor, " strengths"], max_iterations: int = 1000
) -> Regressions:
    r"""Multinomial logistic regression with an L2 penalty, for every strength in one batch.

    $$\min_{W, b} \; \frac{1}{N} \sum_{i=1}^{N} -\log \mathrm{softmax}(W x_i + b)_{y_i} + \frac{\lambda}{2} \|W\|_2^2$$

    L-BFGS is fast here for two reasons. Logits are linear in the weights, so trying another step length needs no
    product with `x`: an iteration has two, one for the direction and one for the gradient. And it starts from the
    inverse of an approximate Hessian, which is diagonal in the principal axes of features and classes.

    Products with `x` are in its dtype, at least float32; weights and sums are float64.

    Args:
        x: features `[N, D]`, finite.
        y: class numbers, integers `[N]`; every number from 0 to K - 1 occurs at least once, and K >= 2.
        strengths: the S values of $\lambda$ > 0, `[S]`.
        max_iterations: the limit on iterations. Tens are usual, hundreds for weak strengths.

    Returns:
        `Regressions`. The sum of the biases is 0.

    Raises:
        TypeError: if the features are not floating point or the labels are not integers.
        ValueError: if a rank is wrong or lengths differ. Values are not checked here; `probes.logistic` checks them.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 1, 2])
        >>> solution = logistic_regression(x, y, strengths=torch.tensor([1e-3, 10.0]))
        >>> (solution.weights @ x.T.double() + solution.bias[..., None]).argmax(1)[0]
        tensor([0, 1, 2])
    """
    check_rank("x", x, "rows dim")
    check_floating("x", x)
    check_rank("y", y, "rows")
    check_integer("y", y)
    check_rank("strengths", strengths, "strengths")
    check_same_length(x=x, y=y)
    x = promote_half(x)
    mean = x.mean(0)
    basis, x = _fewer_columns(x - mean)
    objective, start = _regularised_cross_entropy(x, y.long(), strengths.double())
    minimum = lbfgs(objective, start, max_iterations=max_iterations)
    weights = minimum.weights[..., :-1] @ basis.T.double()
    bias = minimum.weights[..., -1] - weights @ mean.double()
    return Regressions(weights, bias, minimum.value, minimum.converged)


class _Kept(NamedTuple):
    """Data of the S strengths that have not converged."""

    penalty: Tensor  # [S, 1, D]: the strength, and 0 for the bias
    logits: Tensor  # [S, K, N]
    residual: Tensor  # [S, K, N]: probabilities minus indicators


def levenberg_marquardt(
    function: Callable[[Tensor], Tensor],
    start: Float[Tensor, "batch dim"],
    targets: Float[Tensor, "batch outputs"],
    *,
    steps: int = 5,
) -> Float[Tensor, "batch dim"]:
    r"""For every row i, inputs $x_i$ near the start that bring $|f(x_i) - y_i|^2$ down.

    A step solves $(J^\top J + \lambda D) \, \Delta = J^\top (y - f(x))$ with the Jacobian $J$ of a row, from one
    forward-mode derivative for each input, and the diagonal $D$ of $J^\top J$. Where $x + \Delta$ is better it is
    taken and $\lambda$ falls; elsewhere $x$ stays and $\lambda$ rises. So no row ends worse than it started.

    Args:
        function: `[B, D] -> [B, M]`, differentiable, each row of the result from the same row of the inputs alone: a
            network in evaluation mode.
        start: `[B, D]`, D small: memory and time grow with D times M.
        targets: `[B, M]`.
        steps: at least 0. A step costs one evaluation of the function and D of its derivative.

    Returns:
        `[B, D]`.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape does not fit, or `steps` is below 0.

    Example:
        >>> circle = lambda x: torch.cat([x.cos(), x.sin()], 1)
        >>> levenberg_marquardt(circle, torch.tensor([[0.3], [2.0]]), circle(torch.tensor([[1.0], [1.5]])))
        tensor([[1.0000],
                [1.5000]])

    References:
        Marquardt. An algorithm for least-squares estimation of nonlinear parameters. Journal of the Society for
        Industrial and Applied Mathematics 11, 1963.
    """
    check_rank("start", start, "batch dim")
    check_rank("targets", targets, "batch outputs")
    check_between("steps", steps, 0, math.inf)
    x, outputs = start, function(start)
    check_same_shape(outputs=outputs, targets=targets)
    error, damping = _row_errors(outputs, targets), start.new_full((len(start), 1, 1), _DAMPING)
    directions = torch.eye(start.shape[1], dtype=start.dtype, device=start.device)
    for _ in range(steps):
        jacobian = torch.stack([_derivative(function, x, along) for along in directions], dim=-1)  # [B, M, D]
        curvature = jacobian.mT @ jacobian
        slope = jacobian.mT @ (targets - outputs)[..., None]
        diagonal = curvature.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(x.dtype).eps)
        tried = x + torch.linalg.solve(curvature + damping * diagonal.diag_embed(), slope)[..., 0]
        there = function(tried)
        better = _row_errors(there, targets) < error
        x, outputs = (torch.where(better[:, None], *pair) for pair in ((tried, x), (there, outputs)))
        error = _row_errors(outputs, targets)
        damping = damping * torch.where(better, 1 / 3, 10.0).to(damping)[:, None, None]
    return x


def _regularised_cross_entropy(x: Tensor, y: Tensor, strengths: Tensor) -> tuple[Objective, Point]:
    """The objective for weights with the bias as last column, and its point at zero weights; `x` has mean 0."""
    spectrum, axes = torch.linalg.eigh((x.T @ x).double() / len(x))
    # A column of ones is one more axis, because the others have mean 0.
    spectrum = F.pad(spectrum.clamp_min(0), (0, 1), value=1)
    axes = torch.block_diag(axes, axes.new_ones(1, 1)).to(x.dtype)
    x, indicators = F.pad(x, (0, 1), value=1), F.one_hot(y).T.to(x.dtype)
    dtype = x.dtype

    def point(weights: Tensor, loss: Tensor, kept: _Kept) -> Point:
        gradient = (kept.residual @ x).double() / len(x) + kept.penalty * weights
        return Point(weights, loss + _dot(kept.penalty * weights, weights) / 2, gradient, kept)

    def along(point: Point, direction: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
        change, penalty = direction.to(dtype) @ x.T, point.kept.penalty
        penalty_slope, penalty_curvature = (_dot(penalty * v, direction) for v in (point.weights, direction))

        def at(t: Tensor) -> tuple[Tensor, ...]:
            logits = torch.addcmul(point.kept.logits, change, t.to(dtype)[:, None, None])
            loss, residual = _loss_and_residual(logits, y)
            slope = (residual * change).sum((1, 2), dtype=torch.float64) / len(x)
            return slope + penalty_slope + t * penalty_curvature, logits, loss, residual

        return at

    def arrive(old: Point, change: Tensor, found: tuple[Tensor, ...]) -> Point:
        _, logits, loss, residual = found
        return point(old.weights + change, loss, _Kept(old.kept.penalty, logits, residual))

    def precondition(point: Point) -> Callable[[Tensor], Tensor]:
        # The Hessian is the mean over the rows of (diag(p) - p p') kron x x', plus the strength. Here the product of
        # the means replaces the mean of the products, which is exact at zero weights. It is diagonal in the principal
        # axes of the classes (K x K, recomputed at each point) and those of the features.
        class_spectrum, class_axes = torch.linalg.eigh(_class_hessian(point.kept.residual + indicators).double())
        class_spectrum = class_spectrum.clamp_min(1e-9 * class_spectrum[:, -1:])
        inverse = 1 / (class_spectrum[:, :, None] * spectrum + point.kept.penalty)
        # Along the first axis all classes change equally, which changes no probability: no curvature and no gradient.
        inverse[:, 0] = 0

        def inverse_hessian(v: Tensor) -> Tensor:
            coordinates = (class_axes.mT @ v).to(dtype) @ axes
            return class_axes @ ((coordinates * inverse).to(dtype) @ axes.T).double()

        return inverse_hessian

    s, (n, d), k = len(strengths), x.shape, len(indicators)
    penalty = F.pad(strengths[:, None, None].expand(s, 1, d - 1), (0, 1))
    logits = x.new_zeros(s, k, n)
    loss, residual = _loss_and_residual(logits, y)
    start = point(penalty.new_zeros(s, k, d), loss, _Kept(penalty, logits, residual))
    return Objective(along, arrive, precondition), start


def _loss_and_residual(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropies `[S]`, and probabilities minus indicators `[S, K, N]`, of logits `[S, K, N]`.

    Computed from the odds against the right class: both are exact to rounding even if its probability is nearly 1.
    """
    own = y.expand(len(logits), 1, -1)
    margins = (logits - logits.gather(1, own)).scatter(1, own, -torch.inf)
    log_odds = margins.logsumexp(1, keepdim=True)
    loss = F.softplus(log_odds)
    residual = (margins - loss).exp().scatter(1, own, -log_odds.sigmoid())
    return loss.mean((1, 2), dtype=torch.float64), residual


def _class_hessian(p: Tensor) -> Tensor:
    """The mean over the rows of diag(p) - p p', `[S, K, K]`, of probabilities `[S, K, N]`.

    Computed as the Laplacian of the off-diagonal products: nothing cancels when probabilities are near 0 and 1.
    """
    products = (p @ p.mT / p.shape[-1]) * (1 - torch.eye(p.shape[1], dtype=p.dtype, device=p.device))
    return torch.diag_embed(products.sum(-1)) - products


def _fewer_columns(x: Tensor) -> tuple[Tensor, Tensor]:
    """`basis, coordinates` with `x = coordinates @ basis.T`: the best weights lie in the span of the rows."""
    if len(x) >= x.shape[1]:
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device), x
    basis, triangle = torch.linalg.qr(x.T)
    return basis, triangle.T


def _two_loops(
    gradient: Tensor, pairs: Sequence[tuple[Tensor, Tensor, Tensor]], precondition: Callable[[Tensor], Tensor]
) -> Tensor:
    """The direction of L-BFGS `[S, K, D]`, from changes of weights and gradient, and 1 over their inner product."""
    v, alphas = -gradient, []
    for dw, dg, rho in reversed(pairs):
        alphas.append((rho * _dot(dw, v))[:, None, None])
        v = v - alphas[-1] * dg
    v = precondition(v)
    for dw, dg, rho in pairs:
        v = v + (alphas.pop() - (rho * _dot(dg, v))[:, None, None]) * dw
    return v


def _derivative(function: Callable[[Tensor], Tensor], x: Tensor, along: Tensor) -> Tensor:
    """The derivative of the outputs `[B, M]`, as all rows of the inputs move along one direction `[D]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's first one uses a part of torch that it warns of
        return torch.func.jvp(function, (x,), (along.expand_as(x),))[1]


def _row_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


def _rows(chosen: Tensor, leaves: Any) -> Any:
    return tree.map(lambda leaf: leaf[chosen], leaves)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2))
