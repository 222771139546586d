r"""Schedules: functions `step -> value` for learning rates, weights and momenta.

A schedule counts updates from 0. It takes an int or an integer tensor of any shape and returns a float64 tensor of the
same shape on the same device. It therefore works inside `torch.func.vmap` and `torch.compile`, where the step is the
counter of an optimizer. After the last step the value stays constant.

    >>> learning_rate = warmup_cosine(0.4, warmup_steps=10, steps=110)
    >>> [round(float(learning_rate(step)), 3) for step in (0, 5, 10, 60, 110, 500)]
    [0.0, 0.2, 0.4, 0.2, 0.0, 0.0]

Values are float64 so that `1 - value` keeps its digits for a momentum near 1. `functional.optimizers` rounds them to
the dtype of the parameters.
"""

import math
from typing import Any

import torch
from torch import Tensor

from functional.base import Schedule
from functional.checks import check_between, check_integer, check_positive


def at(value: float | Schedule, step: int | Tensor) -> Any:
    """A hyperparameter at a step: the value of a schedule there; a number is returned unchanged.

    Args:
        value: a number, or a schedule `step -> value`.
        step: the number of updates made, an int or an integer tensor.

    Example:
        >>> at(0.5, 3), at(linear(0.0, 1.0, 4), torch.tensor(3))
        (0.5, tensor(0.7500, dtype=torch.float64))
    """
    return value(step) if callable(value) else value


def constant(value: float) -> Schedule:
    """The same value at every step.

    Args:
        value: >= 0.

    Raises:
        ValueError: if the value is negative.

    Example:
        >>> constant(0.1)(3)
        tensor(0.1000, dtype=torch.float64)
    """
    _check_values(value=value)
    return lambda step, /: torch.full_like(_count(step), value)


def linear(initial: float, final: float, steps: int) -> Schedule:
    r"""A straight line, $v_k = v_0 + (v_K - v_0) \, k / K$.

    Args:
        initial: $v_0$ >= 0.
        final: $v_K$ >= 0.
        steps: $K$ >= 1.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> linear(0.0, 1.0, 4)(torch.arange(6))
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000, 1.0000], dtype=torch.float64)
    """
    _check_values(initial=initial, final=final)
    check_positive("steps", steps)
    return lambda step, /: initial + (final - initial) * _fraction(_count(step), steps)


def cosine(value: float, steps: int, *, final: float = 0.0) -> Schedule:
    r"""Half a cosine, $v_k = v_K + (v_0 - v_K) \, (1 + \cos(\pi k / K)) / 2$.

    From a momentum $\tau$ to `final=1.0` this is the schedule of BYOL's target network,
    $1 - (1 - \tau) (\cos(\pi k / K) + 1) / 2$.

    Args:
        value: $v_0$ >= 0.
        steps: $K$ >= 1.
        final: $v_K$ >= 0.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> cosine(0.2, 4)(torch.arange(6))
        tensor([0.2000, 0.1707, 0.1000, 0.0293, 0.0000, 0.0000], dtype=torch.float64)

    References:
        Loshchilov, Hutter. SGDR: stochastic gradient descent with warm restarts. arXiv:1608.03983, equation 5,
        without restarts.
        Grill et al. Bootstrap your own latent. arXiv:2006.07733, section 3.2 (the target's momentum).
    """
    _check_values(value=value, final=final)
    check_positive("steps", steps)
    return lambda step, /: final + (value - final) * _half_cosine(_count(step), steps)


def warmup_cosine(value: float, *, warmup_steps: int, steps: int, final: float = 0.0) -> Schedule:
    r"""A straight line from 0 to `value` at step `warmup_steps`, then half a cosine to `final` at step `steps`.

    Args:
        value: the peak, >= 0.
        warmup_steps: 0 <= warmup_steps < steps; 0 for none.
        steps: the total of both parts.
        final: >= 0.

    Raises:
        ValueError: if a value is out of range.

    Note:
        The value at step 0 is 0, as in the authors' code of SimCLR and BYOL: the first update changes no parameter.

    Example:
        >>> warmup_cosine(0.2, warmup_steps=2, steps=6)(torch.arange(7))
        tensor([0.0000, 0.1000, 0.2000, 0.1707, 0.1000, 0.0293, 0.0000],
               dtype=torch.float64)

    References:
        Goyal et al. Accurate, large minibatch SGD. arXiv:1706.02677, section 2.2 (the warm-up).
    """
    _check_values(value=value, final=final)
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"expected 0 <= warmup_steps < steps, got warmup_steps {warmup_steps}, steps {steps}")

    def schedule(step: int | Tensor, /) -> Tensor:
        k = _count(step)
        rise = value * k / max(1, warmup_steps)
        fall = final + (value - final) * _half_cosine(k - warmup_steps, steps - warmup_steps)
        return torch.where(k < warmup_steps, rise, fall)

    return schedule


def step(value: float, *, boundaries: tuple[int, ...], factor: float) -> Schedule:
    r"""A staircase, $v_k = v_0 \, f^{n}$, with $n$ the number of boundaries that are at most k.

    Args:
        value: $v_0$ >= 0.
        boundaries: the steps from which one more factor applies, in increasing order, each >= 1.
        factor: $f$ >= 0.

    Raises:
        ValueError: if a value is out of range, or the boundaries do not increase.

    Example:
        >>> step(1.0, boundaries=(2, 4), factor=0.1)(torch.arange(5))
        tensor([1.0000, 1.0000, 0.1000, 0.1000, 0.0100], dtype=torch.float64)
    """
    _check_values(value=value, factor=factor)
    if any(low >= high for low, high in zip((0, *boundaries), boundaries, strict=False)):
        raise ValueError(f"boundaries: expected increasing steps above 0, got {list(boundaries)}")

    def schedule(step: int | Tensor, /) -> Tensor:
        k = _count(step)
        passed = sum(((k >= boundary).double() for boundary in boundaries), torch.zeros_like(k))
        return value * factor**passed

    return schedule


def shift(schedule: Schedule, steps: int) -> Schedule:
    r"""The schedule of a clock that starts later, $v_k = u_{k + s}$.

    Args:
        schedule: $u$.
        steps: $s$ >= 0.

    Raises:
        ValueError: if the number of steps is negative.

    Example:
        >>> shift(linear(0.0, 1.0, 4), 2)(torch.arange(3))
        tensor([0.5000, 0.7500, 1.0000], dtype=torch.float64)
    """
    check_between("steps", steps, 0, math.inf)
    return lambda step, /: schedule(torch.as_tensor(step) + steps)


def _count(step: int | Tensor) -> Tensor:
    k = torch.as_tensor(step)
    check_integer("step", k)
    return k.double()


def _fraction(k: Tensor, steps: int) -> Tensor:
    """The fraction of the schedule that is over, 0 to 1."""
    return (k / steps).clamp(0, 1)


def _half_cosine(k: Tensor, steps: int) -> Tensor:
    """From 1 at step 0 to 0 at `steps`."""
    return (1 + torch.cos(math.pi * _fraction(k, steps))) / 2


def _check_values(**values: float) -> None:
    for name, value in values.items():
        check_between(name, value, 0, math.inf)
