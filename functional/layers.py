"""Layers as pairs of pure functions, and `serial`, which makes one layer of several.

A `Layer` is `(init, apply)`:

    params, batch_stats = layer.init(key)
    outputs, batch_stats = layer.apply(params, batch_stats, inputs, train=False, key=None)

A layer without parameters or statistics has `{}` for them. In train mode `batch_norm` normalises by the statistics of
the batch and returns the running ones advanced; `dropout` draws, and refuses to without a key. A key may be `[2]`, or
`[B, 2]`: then what a row draws depends on its own key alone, whatever rows stand beside it.

    >>> net = serial(fc1=linear(4, 8), relu=activation(torch.relu), fc2=linear(8, 2))
    >>> params, stats = net.init(random.key(0))
    >>> list(params["fc1"]), stats
    (['weight', 'bias'], {})
    >>> net.apply(params, stats, torch.ones(3, 4))[0].shape
    torch.Size([3, 2])

References:
    The pairs are those of jax.example_libraries.stax; names and defaults are those of torch.nn.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from functional import initializers, random
from functional.base import Apply, BatchStats, Init, Key, Params
from functional.checks import check_between
from functional.numerics import promote_half


class Layer(NamedTuple):
    """A network, or a part of one; an `Encoder` is the same with a `feature_dim`."""

    init: Init
    apply: Apply


def serial(**layers: Layer) -> Layer:
    """The layers one after the other, named by their keywords; the names are those of the parameters.

    Every layer starts from, and draws with, a key of its own, folded in by its position.
    """

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        params: Params = {}
        batch_stats: BatchStats = {}
        for i, (name, layer) in enumerate(layers.items()):
            own_params, own_stats = layer.init(random.fold_in(key, i))
            # A layer without parameters leaves no trace, so that a tree equals itself after a round trip to names.
            params.update({name: own_params} if own_params else {})
            batch_stats.update({name: own_stats} if own_stats else {})
        return params, batch_stats

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        new_stats: BatchStats = {}
        for i, (name, layer) in enumerate(layers.items()):
            own_key = None if key is None else random.fold_in(key, i)
            inputs, own_stats = layer.apply(
                params.get(name, {}), batch_stats.get(name, {}), inputs, train=train, key=own_key
            )
            new_stats.update({name: own_stats} if own_stats else {})
        return inputs, new_stats

    return Layer(init, apply)


def activation(function: Callable[[Tensor], Tensor]) -> Layer:
    """A function of the inputs alone as a layer: `activation(torch.relu)`, `activation(F.gelu)`, a pooling."""

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        return function(inputs), batch_stats

    return Layer(lambda key, /: ({}, {}), apply)


relu = activation(torch.relu)
flatten = activation(lambda x: x.flatten(1))
global_average_pool = activation(lambda x: x.mean((-2, -1)))  # [B, C, H, W] -> [B, C]


def max_pool(kernel: int, *, stride: int | None = None, padding: int = 0) -> Layer:
    """The maximum over squares of `kernel` pixels; the stride is the kernel unless given."""
    return activation(lambda x: F.max_pool2d(x, kernel, stride, padding))


def linear(in_features: int, out_features: int, *, bias: bool = True) -> Layer:
    """`x W^T + b`: `[..., in_features] -> [..., out_features]`, started as `torch.nn.Linear` is."""

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        return _weight_and_bias(key, (out_features, in_features), initializers.torch_uniform, bias), {}

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        return F.linear(inputs, params["weight"], params.get("bias")), batch_stats

    return Layer(init, apply)


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
    initializer: Callable[..., Tensor] = initializers.torch_uniform,
) -> Layer:
    """A 2-D convolution: `[B, in_channels, H, W] -> [B, out_channels, H', W']`, started as `torch.nn.Conv2d` is."""

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        return _weight_and_bias(key, (out_channels, in_channels, kernel, kernel), initializer, bias), {}

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        return F.conv2d(inputs, params["weight"], params.get("bias"), stride, padding), batch_stats

    return Layer(init, apply)


def batch_norm(features: int, *, momentum: float = 0.1, eps: float = 1e-5, affine: bool = True) -> Layer:
    r"""$(x - \mu) / \sqrt{\sigma^2 + \epsilon} \cdot \gamma + \beta$ per channel, over `[B, C]` or `[B, C, H, W]`.

    In train mode the moments are those of the batch, and the running ones come back as
    `(1 - momentum) * running + momentum * batch`, the variance unbiased; in evaluation mode the running ones are used.
    Statistics are float32 at least, and carry no gradient.

    Raises:
        ValueError: in train mode, from a batch with one value per channel, whose variance is undefined.

    References:
        Ioffe, Szegedy. Batch normalization. arXiv:1502.03167, algorithm 1. The running variance is unbiased and the
        normalising one is not, as in `torch.nn.BatchNorm2d`.
    """

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        zeros, ones = initializers.zeros(key, (features,)), initializers.ones(key, (features,))
        params = {"weight": ones, "bias": zeros} if affine else {}
        return params, {"running_mean": zeros.clone(), "running_var": ones.clone()}

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        mean, var = batch_stats["running_mean"], batch_stats["running_var"]
        weight, bias = params.get("weight"), params.get("bias")
        if not train:
            return F.batch_norm(inputs, mean, var, weight, bias, False, 0.0, eps), batch_stats
        values = inputs.numel() // features
        if values < 2:
            raise ValueError(
                f"batch_norm: one value per channel (inputs {list(inputs.shape)}); use a batch of 2 or more"
            )
        over = [dim for dim in range(inputs.ndim) if dim != 1]
        batch_var, batch_mean = torch.var_mean(promote_half(inputs.detach()), over, correction=1)
        new_stats = {
            "running_mean": torch.lerp(mean, batch_mean.to(mean.dtype), momentum),
            "running_var": torch.lerp(var, batch_var.to(var.dtype), momentum),
        }
        # F.batch_norm with its own moments is 16 to 20 % faster than normalising by the two above.
        return F.batch_norm(inputs, None, None, weight, bias, True, 0.0, eps), new_stats

    return Layer(init, apply)


def dropout(rate: float) -> Layer:
    """In train mode every element is 0 with probability `rate`, or else scaled by `1 / (1 - rate)`.

    Raises:
        ValueError: for a rate outside 0..1, and in train mode without a key.
    """
    check_between("rate", rate, 0, 1)

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        if not train or rate == 0:
            return inputs, batch_stats
        if key is None:
            raise ValueError("dropout: train mode draws; pass key=, [2] for the batch or [B, 2] for a stream per row")
        keep = random.bernoulli(key, 1 - rate, tuple(inputs.shape[key.ndim - 1 :]))
        return torch.where(keep, inputs / (1 - rate), 0) if rate < 1 else torch.zeros_like(inputs), batch_stats

    return Layer(lambda key, /: ({}, {}), apply)


def _weight_and_bias(
    key: Key, shape: tuple[int, ...], initializer: Callable[..., Tensor], bias: bool
) -> dict[str, Tensor]:
    key_weight, key_bias = random.split(key)
    params = {"weight": initializer(key_weight, shape)}
    if bias:
        params["bias"] = initializers.torch_uniform(key_bias, shape[:1], fan_in=math.prod(shape[1:]))
    return params
