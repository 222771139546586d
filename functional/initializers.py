"""Initializers of weights: `(key, shape, dtype) -> Tensor`, on the key's device.

`shape` is torch's: `[out_features, in_features]` for a linear layer, `[out_channels, in_channels, kernel, kernel]` for
a convolution. The fan-in is the number of inputs to one output, the product of all dimensions but the first.
"""

import math

import torch
from torch import Tensor

from functional import random
from functional.base import Key


def zeros(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """All zeros; the key only gives the device.

    Example:
        >>> zeros(random.key(0), (2,))
        tensor([0., 0.])
    """
    return torch.zeros(shape, dtype=dtype, device=key.device)


def ones(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """All ones; the key only gives the device.

    Example:
        >>> ones(random.key(0), (2,))
        tensor([1., 1.])
    """
    return torch.ones(shape, dtype=dtype, device=key.device)


def kaiming_normal(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    r"""Normal with standard deviation $\sqrt{2 / \text{fan out}}$, for convolutions before a ReLU.

    References:
        He et al. Delving deep into rectifiers. arXiv:1502.01852, section 2.2, backward case (equation 14); used by
        torchvision's ResNets.

    Example:
        >>> kaiming_normal(random.key(0), (64, 3, 3, 3)).std()
        tensor(0.0592)
    """
    fan_out = shape[0] * math.prod(shape[2:])
    return (random.normal(key, shape) * math.sqrt(2 / fan_out)).to(dtype)


def torch_uniform(
    key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, *, fan_in: int | None = None
) -> Tensor:
    r"""Uniform on $\pm 1 / \sqrt{\text{fan in}}$: the default of `torch.nn.Linear` and `torch.nn.Conv2d`.

    Args:
        key: `[2]`.
        shape: of the weight; or of the bias, with the weight's `fan_in` given.
        dtype: of the result.
        fan_in: None for the product of all dimensions of `shape` but the first.

    Example:
        >>> torch_uniform(random.key(0), (64, 16)).abs().max() <= 1 / 4
        tensor(True)
    """
    bound = 1 / math.sqrt(fan_in or math.prod(shape[1:]))
    return random.uniform(key, shape, minval=-bound, maxval=bound).to(dtype)
