r"""Running averages of parameters: target networks, and the weights that are evaluated after training.

>>> average, params = {"weight": torch.zeros(2)}, {"weight": torch.ones(2)}
>>> ema(average, params, momentum=0.9)
{'weight': tensor([0.1000, 0.1000])}
"""

from typing import Any

import torch
from torch import Tensor

from functional import schedules, tree
from functional.base import Schedule
from functional.checks import check_between, check_same_leaf


def ema(average: Any, params: Any, *, momentum: float | Tensor) -> Any:
    r"""The exponential moving average, $a \leftarrow \tau a + (1 - \tau) p$, leaf by leaf.

    Args:
        average: a tree of tensors, $a$. Keep averages of half-precision parameters in float32: in bfloat16 a step below
            1/256 of the value is lost.
        params: a tree of the same structure, $p$.
        momentum: $\tau$ in 0..1: a number, or a scalar tensor from a schedule. BYOL's goes from .996 to 1 as
            `schedules.cosine(0.996, steps, final=1.0)`.

    Returns:
        The new average, in the dtypes of the old one. Integer leaves, such as counters, are returned unchanged.

    Raises:
        ValueError: if the momentum is a number out of range, or the leaves differ in shape.

    Example:
        >>> ema({"weight": torch.zeros(2)}, {"weight": torch.ones(2)}, momentum=0.9)
        {'weight': tensor([0.1000, 0.1000])}

    References:
        Tarvainen, Valpola. Mean teachers are better role models. arXiv:1703.01780, equation 2.
        Grill et al. Bootstrap your own latent. arXiv:2006.07733, equation 1 and section 3.2 (the schedule).
    """
    check_between("momentum", momentum, 0, 1)
    # Compute 1 - tau in float64: in float32 it loses digits near tau = 1.
    rate = 1 - torch.as_tensor(momentum, dtype=torch.float64)

    def step(a: Tensor, p: Tensor) -> Tensor:
        check_same_leaf(average=a, params=p)
        return torch.lerp(a, p.to(a.dtype), rate.to(a.dtype)) if a.is_floating_point() else a

    return tree.map(step, average, params)


def follow(target: Any, params: Any, *, momentum: float | Schedule, step: int | Tensor) -> Any:
    r"""The target network at a step, from the current parameters and the momentum of the previous step.

    $$\xi_0 \text{ as it started}, \qquad \xi_k = \tau_{k-1} \, \xi_{k-1} + (1 - \tau_{k-1}) \, \theta_k$$

    A pure loss sees the parameters before the optimizer updates them, so it updates the target at its start. This
    equals the papers' order, the target's update after the optimizer's, except for the very last update.

    Args:
        target: $\xi_{k-1}$, a tree of tensors.
        params: $\theta_k$, the current parameters, a tree of the same structure.
        momentum: $\tau$, a number in 0..1 or a schedule.
        step: $k$, the number of updates made; at 0 the target is unchanged.

    Example:
        >>> target, params = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
        >>> [follow(target, params, momentum=0.9, step=torch.tensor(k))["w"].item() for k in (0, 1)]
        [0.0, 0.10000000149011612]

    References:
        Grill et al. Bootstrap your own latent. arXiv:2006.07733, algorithm 1.
    """
    check_between("momentum", momentum, 0, 1)
    step = torch.as_tensor(step)
    tau = torch.as_tensor(schedules.at(momentum, step - 1), dtype=torch.float64, device=step.device)
    return ema(target, params, momentum=torch.where(step > 0, tau, 1.0))
