r"""Optimizers as pairs of pure functions: `init(params) -> opt_state` and `update(grads, opt_state, params)`.

    >>> optimizer = sgd(0.5, momentum=0.9)
    >>> params = {"weight": torch.ones(2)}
    >>> opt_state = optimizer.init(params)
    >>> params, opt_state = optimizer.update({"weight": torch.ones(2)}, opt_state, params)
    >>> params, int(opt_state.step)
    ({'weight': tensor([0.5000, 0.5000])}, 1)

`update` returns the new parameters in the dtypes of the old ones; moments and sums are at least float32. The learning
rate and the weight decay are each a number or a schedule `step -> value`, evaluated at the number of updates made
before.

**Masks.** Weight decay and the adaptation of `lars` apply where a mask is True. A mask is a function from params to a
tree of bools of the same structure: `include_all`, `exclude_bias_and_norm`, or your own.

**Wrappers.** `grouped` assigns optimizers to parameters by name, `freeze` keeps parameters fixed, `clip_by_global_norm`
and `clip_by_norm` limit gradients, `project` maps the new parameters.
"""

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import schedules, tree
from functional.base import Optimizer, Params, Schedule
from functional.checks import check_between, check_fraction, check_positive, check_same_leaf
from functional.numerics import promote_half

Mask = Callable[[Params], Any]


class SgdState(NamedTuple):
    """The state of `sgd` and `lars`.

    Attributes:
        step: int64 scalar, the number of updates made.
        velocity: a tree like the params; `{}` for sgd without momentum.
    """

    step: Tensor
    velocity: Params


class AdamState(NamedTuple):
    """The state of `adam` and `adamw`.

    Attributes:
        step: int64 scalar, the number of updates made.
        mu: running means of the gradients, a tree like the params.
        nu: running means of their squares.
    """

    step: Tensor
    mu: Params
    nu: Params


def include_all(params: Params) -> Any:
    """The mask that is True everywhere.

    Example:
        >>> include_all({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)})
        {'weight': True, 'bias': True}
    """
    return tree.map(lambda _: True, params)


def exclude_bias_and_norm(params: Params) -> Any:
    """The mask that is False for leaves of at most one dimension: biases, and the scales and shifts of norms.

    Example:
        >>> exclude_bias_and_norm({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)})
        {'weight': True, 'bias': False}
    """
    return tree.map(lambda p: p.ndim > 1, params)


def sgd(
    schedule: Schedule | float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: Schedule | float = 0.0,
    mask: Mask = include_all,
) -> Optimizer:
    r"""Stochastic gradient descent: $g \leftarrow g + \lambda p$, $v \leftarrow m v + g$, $p \leftarrow p - \eta v$.

    With `nesterov` the step is along $g + m v$ instead of $v$. This is `torch.optim.SGD` without dampening.

    Args:
        schedule: the learning rate $\eta$.
        momentum: 0 <= m < 1.
        nesterov: look ahead along the velocity.
        weight_decay: $\lambda$ >= 0, added to the gradient (L2).
        mask: where weight decay applies.

    Raises:
        ValueError: if a value is out of range, or `nesterov` is set without momentum.

    Example:
        >>> optimizer = sgd(0.1)
        >>> params = {"w": torch.ones(2)}
        >>> optimizer.update({"w": torch.ones(2)}, optimizer.init(params), params)[0]
        {'w': tensor([0.9000, 0.9000])}

    Note:
        The paper puts the learning rate inside the velocity, $v \leftarrow m v + \eta g$. The two are equivalent while
        $\eta$ is constant.

    References:
        Sutskever, Martens, Dahl, Hinton. On the importance of initialization and momentum in deep learning.
        ICML 2013, equations 1 to 4.
    """
    learning_rate = _as_schedule(schedule)
    check_fraction("momentum", momentum)
    check_between("weight_decay", weight_decay, 0, math.inf)
    if nesterov and momentum == 0:
        raise ValueError("nesterov: expected a momentum above 0, got 0; pass momentum=0.9")

    def init(params: Params, /) -> SgdState:
        return SgdState(_zero_step(params), _zeros_like(params) if momentum else {})

    def update(grads: Params, opt_state: SgdState, params: Params, /) -> tuple[Params, SgdState]:
        grads = _decay(grads, params, schedules.at(weight_decay, opt_state.step), mask)
        velocity = _accelerate(opt_state.velocity, grads, momentum) if momentum else {}
        direction = _accelerate(velocity, grads, momentum) if nesterov else velocity or grads
        return _descend(params, direction, learning_rate(opt_state.step)), SgdState(opt_state.step + 1, velocity)

    return Optimizer(init, update)


def adam(
    schedule: Schedule | float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: Schedule | float = 0.0,
    mask: Mask = include_all,
) -> Optimizer:
    r"""Adam: a step along the running mean of the gradient, divided by the root of that of its square.

    $$\mu \leftarrow \beta_1 \mu + (1 - \beta_1) g, \quad \nu \leftarrow \beta_2 \nu + (1 - \beta_2) g^2, \quad
    p \leftarrow p - \eta \, d, \quad d = \frac{\mu / (1 - \beta_1^t)}{\sqrt{\nu / (1 - \beta_2^t)} + \epsilon}$$

    Args:
        schedule: the learning rate $\eta$.
        betas: $\beta_1, \beta_2$, each 0 <= b < 1.
        eps: $\epsilon$ > 0.
        weight_decay: $\lambda$ >= 0, added to the gradient as $\lambda p$ (L2). `adamw` adds it to $d$.
        mask: where weight decay applies.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> optimizer = adam(0.1)
        >>> params = {"w": torch.ones(2)}
        >>> optimizer.update({"w": torch.tensor([1.0, -5.0])}, optimizer.init(params), params)[0]
        {'w': tensor([0.9000, 1.1000])}

    References:
        Kingma, Ba. Adam: a method for stochastic optimization. arXiv:1412.6980, algorithm 1.
    """
    learning_rate = _as_schedule(schedule)
    _check_adam(betas, eps, weight_decay)

    def update(grads: Params, opt_state: AdamState, params: Params, /) -> tuple[Params, AdamState]:
        grads = _decay(grads, params, schedules.at(weight_decay, opt_state.step), mask)
        direction, new_state = _adam_direction(grads, opt_state, betas, eps)
        return _descend(params, direction, learning_rate(opt_state.step)), new_state

    return Optimizer(_adam_init, update)


def adamw(
    schedule: Schedule | float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: Schedule | float = 0.01,
    mask: Mask = include_all,
) -> Optimizer:
    r"""Adam with decoupled weight decay: $p \leftarrow p - \eta \, (d + \lambda p)$, with the direction $d$ of `adam`.

    Args:
        schedule: the learning rate $\eta$.
        betas: $\beta_1, \beta_2$, each 0 <= b < 1.
        eps: $\epsilon$ > 0.
        weight_decay: $\lambda$ >= 0.
        mask: where weight decay applies.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> optimizer = adamw(0.1, weight_decay=0.5)
        >>> params = {"w": torch.ones(2)}
        >>> optimizer.update({"w": torch.tensor([1.0, -5.0])}, optimizer.init(params), params)[0]
        {'w': tensor([0.8500, 1.0500])}

    Note:
        As in torch and optax, the decay is multiplied by the learning rate; in the paper it is multiplied only by the
        schedule's multiplier.

    References:
        Loshchilov, Hutter. Decoupled weight decay regularization. arXiv:1711.05101, algorithm 2.
    """
    learning_rate = _as_schedule(schedule)
    _check_adam(betas, eps, weight_decay)

    def update(grads: Params, opt_state: AdamState, params: Params, /) -> tuple[Params, AdamState]:
        direction, new_state = _adam_direction(grads, opt_state, betas, eps)
        direction = _decay(direction, params, schedules.at(weight_decay, opt_state.step), mask)
        return _descend(params, direction, learning_rate(opt_state.step)), new_state

    return Optimizer(_adam_init, update)


def lars(
    schedule: Schedule | float,
    *,
    momentum: float = 0.9,
    weight_decay: Schedule | float = 1e-6,
    trust_coefficient: float = 0.001,
    mask: Mask = exclude_bias_and_norm,
) -> Optimizer:
    r"""Layer-wise adaptive rate scaling: SGD that moves each weight in proportion to its norm, for large batches.

    $$v \leftarrow m v + r \, (g + \lambda p), \quad p \leftarrow p - \eta v, \quad
    r = \kappa \, \frac{\|p\|}{\|g\| + \lambda \|p\|}$$

    with one $r$ per leaf. Where the mask is False, $r = 1$ and $\lambda = 0$: momentum alone. $r = 1$ also for a weight
    that is zero, which otherwise could not leave zero, and where the denominator is 0.

    Args:
        schedule: the learning rate $\eta$, usually .3 times batch size over 256.
        momentum: 0 <= m < 1.
        weight_decay: $\lambda$ >= 0.
        trust_coefficient: $\kappa$ > 0, the paper's $\eta$; .02 in solo-learn.
        mask: where weight decay and adaptation apply.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> optimizer = lars(1.0, weight_decay=0.0, trust_coefficient=0.1)
        >>> params = {"w": torch.ones(1, 2)}
        >>> optimizer.update({"w": 7 * torch.ones(1, 2)}, optimizer.init(params), params)[0]
        {'w': tensor([[0.9000, 0.9000]])}

    Note:
        Implementations differ. The denominator is the paper's (also in lightly, solo-learn); the authors' code of
        SimCLR, BYOL and MoCo v3 has $\|g + \lambda p\|$. The learning rate multiplies the velocity, as in BYOL, MoCo
        v3 and lightly; in the paper and in SimCLR's code it is inside, $v \leftarrow m v + \eta r (g + \lambda p)$,
        which is equivalent while $\eta$ is constant. lightly does not decay a weight whose gradient is zero.

    References:
        You, Gitman, Ginsburg. Large batch training of convolutional networks. arXiv:1708.03888, algorithm 1.
    """
    learning_rate = _as_schedule(schedule)
    check_fraction("momentum", momentum)
    check_between("weight_decay", weight_decay, 0, math.inf)
    check_positive("trust_coefficient", trust_coefficient)

    def adapt(g: Tensor, p: Tensor, decay: float | Tensor) -> Tensor:
        g, p = promote_half(g), promote_half(p)
        norm_p = torch.linalg.vector_norm(p)
        denominator = torch.linalg.vector_norm(g) + decay * norm_p
        ratio = trust_coefficient * norm_p / denominator
        return torch.where((norm_p > 0) & (denominator > 0), ratio, 1) * (g + decay * p)

    def init(params: Params, /) -> SgdState:
        return SgdState(_zero_step(params), _zeros_like(params))

    def update(grads: Params, opt_state: SgdState, params: Params, /) -> tuple[Params, SgdState]:
        decay = schedules.at(weight_decay, opt_state.step)
        adapted = tree.map(
            lambda g, p, included: adapt(g, p, decay) if included else promote_half(g), grads, params, mask(params)
        )
        velocity = _accelerate(opt_state.velocity, adapted, momentum)
        return _descend(params, velocity, learning_rate(opt_state.step)), SgdState(opt_state.step + 1, velocity)

    return Optimizer(init, update)


def clip_by_global_norm(optimizer: Optimizer, max_norm: float) -> Optimizer:
    r"""Clip the norm of the gradient over all leaves to at most `max_norm`: $g \min(1, c / \|g\|)$.

    Args:
        optimizer: receives the clipped gradients.
        max_norm: c > 0.

    Raises:
        ValueError: if `max_norm` is not above 0.

    Example:
        >>> optimizer = clip_by_global_norm(sgd(1.0), max_norm=1.0)
        >>> params = {"w": torch.zeros(2)}
        >>> optimizer.update({"w": torch.tensor([3.0, 4.0])}, optimizer.init(params), params)[0]
        {'w': tensor([-0.6000, -0.8000])}

    Note:
        `torch.nn.utils.clip_grad_norm_` divides by the norm + 1e-6; here the clipped norm is `max_norm` itself.

    References:
        Pascanu, Mikolov, Bengio. On the difficulty of training recurrent neural networks. arXiv:1211.5063,
        algorithm 1.
    """
    check_positive("max_norm", max_norm)

    def update(grads: Params, opt_state: Any, params: Params, /) -> tuple[Params, Any]:
        norm = tree.norm(grads)
        scale = torch.where(norm > max_norm, max_norm / norm, 1)
        clipped = tree.map(lambda g: g * scale, grads)
        return optimizer.update(clipped, opt_state, params)

    return Optimizer(optimizer.init, update)


def clip_by_norm(optimizer: Optimizer, max_norm: float) -> Optimizer:
    r"""Clip the norm of each leaf of the gradient to at most `max_norm`: $g \min(1, c / \|g\|)$.

    Args:
        optimizer: receives the clipped gradients.
        max_norm: c > 0.

    Raises:
        ValueError: if `max_norm` is not above 0.

    Example:
        >>> optimizer = clip_by_norm(sgd(1.0), max_norm=1.0)
        >>> params = {"w": torch.zeros(2), "b": torch.zeros(1)}
        >>> grads = {"w": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.5])}
        >>> optimizer.update(grads, optimizer.init(params), params)[0]
        {'w': tensor([-0.6000, -0.8000]), 'b': tensor([-0.5000])}

    Note:
        DINO's code clips like this, per tensor (`clip_gradients`), while most others clip the norm over all leaves.
    """
    check_positive("max_norm", max_norm)

    def clip(g: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(promote_half(g))
        return g * torch.where(norm > max_norm, max_norm / norm, 1)

    def update(grads: Params, opt_state: Any, params: Params, /) -> tuple[Params, Any]:
        return optimizer.update(tree.map(clip, grads), opt_state, params)

    return Optimizer(optimizer.init, update)


def grouped(*groups: tuple[str, Optimizer]) -> Optimizer:
    """Assign optimizers to parameters by name: each parameter uses that of the first pattern that its name matches.

    Args:
        groups: pairs of a pattern and an optimizer. A pattern is a name with `*` for any characters, over the dotted
            names of `tree.flatten`: `"predictor.*"`, `"*.bias"`, and `"*"` for the remaining ones, if any.

    Raises:
        ValueError: at `init`, if a pattern matches no remaining parameter, or a parameter matches no pattern.

    Example:
        >>> optimizer = grouped(("head.*", sgd(1.0)), ("*", sgd(0.1)))
        >>> params = {"encoder": {"w": torch.ones(1)}, "head": {"w": torch.ones(1)}}
        >>> optimizer.update(params, optimizer.init(params), params)[0]
        {'encoder': {'w': tensor([0.9000])}, 'head': {'w': tensor([0.])}}
    """

    def parts(trees: Params) -> list[Params]:
        left, found = tree.flatten(trees), []
        for pattern, _ in groups:
            names = [name for name in left if fnmatchcase(name, pattern)]
            if not names and pattern != "*":
                raise ValueError(
                    f"groups: {pattern!r} matches no parameter; there are {', '.join(left) or 'none left'}"
                )
            found.append(tree.unflatten({name: left.pop(name) for name in names}))
        if left:
            raise ValueError(f"groups: no pattern matches {', '.join(left)}; add ('*', optimizer) for the rest")
        return found

    def init(params: Params, /) -> tuple[Any, ...]:
        both = zip(groups, parts(params), strict=True)
        return tuple(optimizer.init(part) if part else () for (_, optimizer), part in both)

    def update(grads: Params, opt_state: tuple[Any, ...], params: Params, /) -> tuple[Params, tuple[Any, ...]]:
        moved: dict[str, Tensor] = {}
        states = []
        for (_, optimizer), *part in zip(groups, parts(grads), opt_state, parts(params), strict=True):
            new_params, new_state = optimizer.update(*part) if part[0] else ({}, ())
            moved |= tree.flatten(new_params)
            states.append(new_state)
        return tree.unflatten_like(params, moved), tuple(states)

    return Optimizer(init, update)


class FreezeState(NamedTuple):
    """The state of `freeze`.

    Attributes:
        step: int64 scalar, the number of updates requested.
        inner: the state of the optimizer, which counts the updates made.
    """

    step: Tensor
    inner: Any


def freeze(optimizer: Optimizer, steps: float) -> Optimizer:
    """Freeze the parameters for the first `steps` updates, then apply the optimizer.

    A frozen update applies no decay and no momentum: parameters and the inner state are returned unchanged. Afterwards
    the optimizer starts at its own step 0; give it `schedules.shift(schedule, steps)` for a learning rate that follows
    the clock of the whole run.

    Args:
        optimizer: updates the parameters afterwards.
        steps: >= 0; `math.inf` to freeze permanently.

    Raises:
        ValueError: if the number of steps is negative.

    Example:
        >>> optimizer = freeze(sgd(0.1, weight_decay=1.0), steps=1)
        >>> params = {"w": torch.ones(1)}
        >>> opt_state = optimizer.init(params)
        >>> for _ in range(2):
        ...     params, opt_state = optimizer.update({"w": torch.ones(1)}, opt_state, params)
        ...     print(params)
        {'w': tensor([1.])}
        {'w': tensor([0.8000])}

    References:
        Caron et al. Unsupervised learning of visual features by contrasting cluster assignments. arXiv:2006.09882,
        appendix A: the prototypes are frozen during the first epoch.
    """
    check_between("steps", steps, 0, math.inf)

    def init(params: Params, /) -> FreezeState:
        return FreezeState(_zero_step(params), optimizer.init(params))

    def update(grads: Params, opt_state: FreezeState, params: Params, /) -> tuple[Params, FreezeState]:
        frozen = opt_state.step < steps
        moved = optimizer.update(grads, opt_state.inner, params)
        new_params, inner = tree.map(lambda old, new: torch.where(frozen, old, new), (params, opt_state.inner), moved)
        return new_params, FreezeState(opt_state.step + 1, inner)

    return Optimizer(init, update)


def project(optimizer: Optimizer, projection: Callable[[Params], Params]) -> Optimizer:
    """Map the optimizer's new parameters by a function: onto a set that they must lie in.

    A parameter that the optimizer did not move, because it is frozen, stays the same bit for bit.

    Args:
        optimizer: updates the parameters.
        projection: `params -> params`; it should leave parameters that lie in the set unchanged.

    Example:
        >>> optimizer = project(sgd(1.0), lambda params: tree.map(lambda p: p.clamp_min(0), params))
        >>> params = {"w": torch.ones(2)}
        >>> optimizer.update({"w": torch.tensor([0.5, 3.0])}, optimizer.init(params), params)[0]
        {'w': tensor([0.5000, 0.0000])}
    """

    def update(grads: Params, opt_state: Any, params: Params, /) -> tuple[Params, Any]:
        moved, opt_state = optimizer.update(grads, opt_state, params)
        projected = tree.map(
            lambda old, new, p: torch.where((old == new).all(), old, p), params, moved, projection(moved)
        )
        return projected, opt_state

    return Optimizer(optimizer.init, update)


def _as_schedule(schedule: Schedule | float) -> Schedule:
    return schedule if callable(schedule) else schedules.constant(schedule)


def _zero_step(params: Params) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=tree.leaves(params)[0].device)


def _zeros_like(params: Params) -> Params:
    """Zeros for every leaf, in at least float32. No tensor is shared: torch.compile would recompile."""
    return tree.map(lambda p: torch.zeros_like(promote_half(p)), params)


def _decay(grads: Params, params: Params, weight_decay: float | Tensor, mask: Mask) -> Params:
    """`grads + weight_decay * params` where the mask is True, in at least float32."""

    def decay(g: Tensor, p: Tensor, included: bool) -> Tensor:
        g = promote_half(g)
        if not included:
            return g
        if isinstance(weight_decay, Tensor):
            return g + weight_decay * promote_half(p)
        return torch.add(g, promote_half(p), alpha=weight_decay) if weight_decay else g

    return tree.map(decay, grads, params, mask(params))


def _accelerate(velocity: Params, grads: Params, momentum: float) -> Params:
    """`momentum * velocity + grads`."""
    return tree.map(lambda v, g: torch.add(g, v, alpha=momentum), velocity, grads)


def _descend(params: Params, direction: Params, learning_rate: Tensor | float) -> Params:
    """`params - learning_rate * direction`, in the dtypes of the parameters.

    Raises:
        ValueError: if a gradient has another shape than its parameter.
    """

    def descend(p: Tensor, d: Tensor) -> Tensor:
        check_same_leaf(params=p, grads=d)
        return (promote_half(p) - learning_rate * d).to(p.dtype)

    return tree.map(descend, params, direction)


def _check_adam(betas: tuple[float, float], eps: float, weight_decay: Schedule | float) -> None:
    for beta in betas:
        check_fraction("betas", beta)
    check_positive("eps", eps)
    check_between("weight_decay", weight_decay, 0, math.inf)


def _adam_init(params: Params, /) -> AdamState:
    return AdamState(_zero_step(params), _zeros_like(params), _zeros_like(params))


def _adam_direction(
    grads: Params, opt_state: AdamState, betas: tuple[float, float], eps: float
) -> tuple[Params, AdamState]:
    t, (beta1, beta2) = opt_state.step + 1, betas
    grads = tree.map(promote_half, grads)
    mu = tree.map(lambda m, g: torch.lerp(m, g, 1 - beta1), opt_state.mu, grads)
    nu = tree.map(lambda n, g: torch.lerp(n, g.square(), 1 - beta2), opt_state.nu, grads)
    # In float64 whatever the dtype of the parameters: 1 - beta**t begins at 1 - beta.
    unbias1, unbias2 = 1 - beta1 ** t.double(), 1 - beta2 ** t.double()

    def direction(m: Tensor, n: Tensor) -> Tensor:
        return m / unbias1 / ((n / unbias2).sqrt() + eps)

    return tree.map(direction, mu, nu), AdamState(t, mu, nu)
