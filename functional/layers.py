"""Layers as pairs of pure functions, and `serial`, which chains layers into one.

A `Layer` is `(init, apply)`:

    params, batch_stats = layer.init(key)
    outputs, batch_stats = layer.apply(params, batch_stats, inputs, train=False, key=None)

A layer without parameters or statistics has `{}` for them. In train mode `batch_norm` normalises by the statistics of
the batch and returns the updated running statistics; `dropout` draws and requires a key. A key is `[2]`, or `[B, 2]`:
then the draws of a row depend on its own key alone, not on the other rows.

    >>> net = serial(fc1=linear(4, 8), relu=relu, fc2=linear(8, 2))
    >>> params, stats = net.init(random.key(0))
    >>> list(params), list(params["fc1"]), stats
    (['fc1', 'fc2'], ['weight', 'bias'], {})
    >>> net.apply(params, stats, torch.ones(3, 4))[0].shape
    torch.Size([3, 2])

Most layers have no statistics and draw nothing: `stateless` makes them from two short functions, `key -> params` and
`(params, inputs) -> outputs`. The others write out the whole signature of `apply`.

References:
    The pairs are those of jax.example_libraries.stax; names and defaults are those of torch.nn.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from functional import initializers, random, tree
from functional.base import Apply, BatchStats, Init, Key, Params
from functional.checks import check_between, check_channels, check_keys, check_positive
from functional.kernels import conv2d, max_pool2d, widened
from functional.numerics import promote_half

_linear = widened(F.linear)
_conv_transpose2d = widened(F.conv_transpose2d)


class Layer(NamedTuple):
    """A network or a part of one; an `Encoder` is a layer with a `feature_dim`."""

    init: Init
    apply: Apply


# --- layers of layers -----------------------------------------------------------------------------------------


def serial(**layers: Layer) -> Layer:
    """Chain layers; their keywords become the names of the parameters.

    Every layer is initialised and draws with its own key. Pass names that Python does not accept as keywords as
    `serial(**{"0": first, "1": second})`. Without layers it is the identity.

    Example:
        >>> params, _ = serial(conv1=conv(1, 4, 3), relu=relu, flatten=flatten).init(random.key(0))
        >>> list(params)  # relu and flatten have none
        ['conv1']

    Note:
        A layer without parameters has no entry in `params`, so a tree survives a round trip through its flat names
        unchanged. The same holds for statistics.
    """

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        params: Params = {}
        batch_stats: BatchStats = {}
        for (name, layer), own_key in zip(layers.items(), random.split(key, len(layers)), strict=True):
            own_params, own_stats = layer.init(own_key)
            params |= {name: own_params} if own_params else {}
            batch_stats |= {name: own_stats} if own_stats else {}
        return params, batch_stats

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        new_stats: BatchStats = {}
        keys = len(layers) * [None] if key is None else random.split(key, len(layers)).unbind(-2)
        for (name, layer), own_key in zip(layers.items(), keys, strict=True):
            own_params, own_stats = params.get(name, {}), batch_stats.get(name, {})
            inputs, own_stats = layer.apply(own_params, own_stats, inputs, train=train, key=own_key)
            new_stats |= {name: own_stats} if own_stats else {}
        return inputs, new_stats

    return Layer(init, apply)


def split_batch(layer: Layer, groups: int) -> Layer:
    """Split the batch into groups in train mode: the layer normalises each by its own statistics.

    The new running statistics are the mean over the groups. In evaluation mode nothing changes.

    Args:
        layer: a network with batch norm.
        groups: the number of groups, 1 or more, of equal size; group i starts at row `i * B / groups`.

    Raises:
        ValueError: if `groups` is not above 0; in train mode, if it does not divide the batch size.

    Example:
        >>> layer = split_batch(batch_norm(1), groups=2)
        >>> inputs = torch.tensor([[1.0], [3.0], [10.0], [30.0]])
        >>> layer.apply(*layer.init(random.key(0)), inputs, train=True)[0].flatten()
        tensor([-1.0000,  1.0000, -1.0000,  1.0000])

    References:
        Hoffer, Hubara, Soudry. Train longer, generalize better. arXiv:1705.08741, section 4 ("ghost batch norm").
    """
    check_positive("groups", groups)
    if groups == 1:
        return layer

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        if not train:
            return layer.apply(params, batch_stats, inputs, train=train, key=key)
        if len(inputs) % groups:
            raise ValueError(f"inputs: expected a batch divisible into {groups} groups, got {len(inputs)} rows")
        if key is None or key.ndim == 1:
            keys = groups * [None] if key is None else random.split(key, groups).unbind(0)
        else:
            keys = key.chunk(groups)
        outputs, new_stats = zip(
            *(
                layer.apply(params, batch_stats, part, train=train, key=own_key)
                for part, own_key in zip(inputs.chunk(groups), keys, strict=True)
            ),
            strict=True,
        )
        return torch.cat(outputs), tree.map(_mean_or_count, *new_stats)

    return Layer(layer.init, apply)


def _mean_or_count(*parts: Tensor) -> Tensor:
    """The mean of the statistics of groups; of counters, which each group raised by the same, the first."""
    return torch.stack(parts).mean(0) if parts[0].is_floating_point() else parts[0]


def cast(layer: Layer, dtype: torch.dtype | None) -> Layer:
    """The layer with its parameters and inputs cast to `dtype`, and its outputs promoted to at least float32.

    The trees keep their dtypes: parameters, gradients and batch statistics are not converted. None casts nothing.

    Example:
        >>> layer = cast(linear(2, 2), torch.bfloat16)
        >>> params, _ = layer.init(random.key(0))
        >>> outputs, _ = layer.apply(params, {}, torch.ones(1, 2))
        >>> params["weight"].dtype, outputs.dtype
        (torch.float32, torch.float32)

    Note:
        Unlike with `torch.autocast`, everything in between runs in `dtype`, except the moments of `batch_norm`.
    """
    if dtype is None:
        return layer

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        low_params = tree.map(lambda x: x.to(dtype), params)
        outputs, batch_stats = layer.apply(low_params, batch_stats, inputs.to(dtype), train=train, key=key)
        return promote_half(outputs), batch_stats

    return Layer(layer.init, apply)


# --- layers without statistics or draws -----------------------------------------------------------------------


def stateless(init: Callable[[Key], Params], function: Callable[[Params, Tensor], Tensor]) -> Layer:
    """A layer from `key -> params` and `(params, inputs) -> outputs`: the same in training and evaluation.

    Example:
        >>> scale = stateless(lambda key: {"scale": torch.ones(())}, lambda params, x: params["scale"] * x)
        >>> scale.apply({"scale": torch.tensor(3.0)}, {}, torch.ones(2))
        (tensor([3., 3.]), {})
    """

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        return function(params, inputs), batch_stats

    return Layer(lambda key, /: (init(key), {}), apply)


def activation(function: Callable[[Tensor], Tensor]) -> Layer:
    """A layer from a function of the inputs alone: `activation(torch.relu)`, `activation(F.gelu)`, a pooling.

    Example:
        >>> activation(torch.tanh).apply({}, {}, torch.zeros(2))
        (tensor([0., 0.]), {})
    """
    return stateless(lambda key: {}, lambda params, inputs: function(inputs))


relu = activation(torch.relu)
flatten = activation(lambda x: x.flatten(1))
global_average_pool = activation(lambda x: x.mean((-2, -1)))  # [B, C, H, W] -> [B, C]


def grid_average_pool(cells: int) -> Layer:
    """The mean over each cell of a `cells` x `cells` grid: `[B, C, H, W] -> [B, C * cells ** 2]`, channel by channel.

    The cells are those of `torch.nn.AdaptiveAvgPool2d`; they overlap by a pixel where `cells` does not divide H or W.

    Raises:
        ValueError: if `cells` is not above 0; from `apply`, if there are more cells than positions along a side.

    Example:
        >>> grid_average_pool(2).apply({}, {}, torch.arange(16.0).view(1, 1, 4, 4))[0]
        tensor([[ 2.5000,  4.5000, 10.5000, 12.5000]])
    """
    check_positive("cells", cells)

    def pool(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < cells:
            raise ValueError(
                f"grid of {cells} x {cells} cells: expected at least as many positions, got {height} x {width}; "
                "take larger images or fewer cells"
            )
        return F.adaptive_avg_pool2d(x, cells).flatten(1)

    return activation(pool)


def max_pool(kernel: int, *, stride: int | None = None, padding: int = 0) -> Layer:
    """The maximum over squares of `kernel` x `kernel` pixels; the stride defaults to `kernel`.

    Example:
        >>> max_pool(2).apply({}, {}, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0]
        tensor([[[[4.]]]])
    """
    return activation(lambda x: max_pool2d(x, kernel, stride, padding))


def linear(in_features: int, out_features: int, *, bias: bool = True) -> Layer:
    """`x W^T + b`: `[..., in_features] -> [..., out_features]`, initialised as in `torch.nn.Linear`.

    Raises:
        ValueError: if a size is not above 0.

    Example:
        >>> layer = linear(3, 2)
        >>> params, _ = layer.init(random.key(0))
        >>> layer.apply(params, {}, torch.zeros(5, 3))[0].shape
        torch.Size([5, 2])
    """
    check_positive("in_features", in_features)
    check_positive("out_features", out_features)

    def init(key: Key) -> Params:
        return _weight_and_bias(key, (out_features, in_features), biases=out_features if bias else 0)

    return stateless(init, lambda params, inputs: _linear(inputs, params["weight"], params.get("bias")))


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
    """A 2-D convolution: `[B, in_channels, H, W] -> [B, out_channels, H', W']`, initialised as in `torch.nn.Conv2d`.

    `H' = (H + 2 padding - kernel) // stride + 1`.

    Example:
        >>> layer = conv(3, 8, 3, stride=2, padding=1)
        >>> params, _ = layer.init(random.key(0))
        >>> layer.apply(params, {}, torch.zeros(5, 3, 32, 32))[0].shape
        torch.Size([5, 8, 16, 16])
    """

    def init(key: Key) -> Params:
        shape = (out_channels, in_channels, kernel, kernel)
        return _weight_and_bias(key, shape, biases=out_channels if bias else 0, initializer=initializer)

    def function(params: Params, inputs: Tensor) -> Tensor:
        return conv2d(inputs, params["weight"], params.get("bias"), stride=stride, padding=padding)

    return stateless(init, function)


def conv_transpose(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    bias: bool = True,
) -> Layer:
    """A 2-D transposed convolution: `[B, in_channels, H, W] -> [B, out_channels, H', W']`.

    `H' = (H - 1) stride - 2 padding + kernel + output_padding`: the shapes of `conv` in reverse, where `output_padding`
    chooses among the sizes that `conv` maps to H. Initialised as in `torch.nn.ConvTranspose2d`.

    Example:
        >>> layer = conv_transpose(8, 3, 3, stride=2, padding=1, output_padding=1)
        >>> params, _ = layer.init(random.key(0))
        >>> layer.apply(params, {}, torch.zeros(5, 8, 16, 16))[0].shape
        torch.Size([5, 3, 32, 32])
    """

    def init(key: Key) -> Params:
        shape = (in_channels, out_channels, kernel, kernel)
        return _weight_and_bias(key, shape, biases=out_channels if bias else 0)

    def function(params: Params, inputs: Tensor) -> Tensor:
        return _conv_transpose2d(inputs, params["weight"], params.get("bias"), stride, padding, output_padding)

    return stateless(init, function)


def layer_norm(features: int, *, eps: float = 1e-5) -> Layer:
    r"""$(x - \mu) / \sqrt{\sigma^2 + \epsilon} \cdot \gamma + \beta$ with the moments of each row: `[..., features]`.

    Example:
        >>> layer = layer_norm(2)
        >>> params, _ = layer.init(random.key(0))
        >>> layer.apply(params, {}, torch.tensor([[1.0, 3.0]]))[0]
        tensor([[-1.0000,  1.0000]])

    References:
        Ba, Kiros, Hinton. Layer normalization. arXiv:1607.06450, equation 4.
    """

    def init(key: Key) -> Params:
        return {"weight": initializers.ones(key, (features,)), "bias": initializers.zeros(key, (features,))}

    def function(params: Params, inputs: Tensor) -> Tensor:
        return F.layer_norm(inputs, (features,), params["weight"], params["bias"], eps)

    return stateless(init, function)


# --- layers with statistics or draws --------------------------------------------------------------------------


def batch_norm(
    features: int,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    affine: bool = True,
    track_running_stats: bool = True,
) -> Layer:
    r"""$(x - \mu) / \sqrt{\sigma^2 + \epsilon} \cdot \gamma + \beta$ per channel, over `[B, C]` or `[B, C, H, W]`.

    In train mode the moments are those of the batch, and the running statistics become
    `(1 - momentum) * running + momentum * batch`, with the unbiased variance. In evaluation mode the running statistics
    are used. They are at least float32 and carry no gradient. Without running statistics (`track_running_stats=False`,
    for heads that are discarded) the moments are those of the batch in both modes.

    Raises:
        ValueError: if the number of channels is not `features`; if the moments are those of a batch with one value per
            channel, whose variance is undefined.

    Example:
        >>> layer = batch_norm(1)
        >>> params, batch_stats = layer.init(random.key(0))
        >>> outputs, batch_stats = layer.apply(params, batch_stats, torch.tensor([[1.0], [3.0]]), train=True)
        >>> outputs.flatten(), batch_stats["running_mean"]
        (tensor([-1.0000,  1.0000]), tensor([0.2000]))

    References:
        Ioffe, Szegedy. Batch normalization. arXiv:1502.03167, algorithm 1. The running variance is unbiased and the
        normalising one is not, as in `torch.nn.BatchNorm2d`.
    """

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        zeros, ones = initializers.zeros(key, (features,)), initializers.ones(key, (features,))
        params = {"weight": ones, "bias": zeros} if affine else {}
        running = {"running_mean": zeros.clone(), "running_var": ones.clone()}
        return params, running if track_running_stats else {}

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        check_channels("inputs", inputs, features)
        # torch computes the moments of half-precision inputs in float32 only if weight and bias are float32.
        if affine:
            weight, bias = promote_half(params["weight"]), promote_half(params["bias"])
        elif inputs.dtype.itemsize < 4:
            weight, bias = (torch.full((features,), x, dtype=torch.float32, device=inputs.device) for x in (1.0, 0.0))
        else:
            weight = bias = None
        if track_running_stats and not train:
            mean, var = batch_stats["running_mean"], batch_stats["running_var"]
            mean, var = (x.to(torch.promote_types(x.dtype, inputs.dtype)) for x in (mean, var))
            return F.batch_norm(inputs, mean, var, weight, bias, False, 0.0, eps), batch_stats
        if inputs.numel() == features:
            raise ValueError(
                f"batch_norm: one value per channel (inputs {list(inputs.shape)}); use a batch of 2 or more"
            )
        # torch's kernel returns the moments that it normalises by, which saves a second pass over the inputs.
        outputs, batch_mean, inverse_std = torch.native_batch_norm(inputs, weight, bias, None, None, True, 0.0, eps)
        if not track_running_stats:
            return outputs, {}
        mean, var = batch_stats["running_mean"], batch_stats["running_var"]
        n = inputs.numel() // features
        batch_var = (inverse_std.detach() ** -2 - eps).clamp_min(0) * (n / (n - 1))
        new_stats = {
            "running_mean": torch.lerp(mean, batch_mean.detach().to(mean.dtype), momentum),
            "running_var": torch.lerp(var, batch_var.to(var.dtype), momentum),
        }
        return outputs, new_stats

    return Layer(init, apply)


def dropout(rate: float) -> Layer:
    """In train mode, set each element to 0 with probability `rate` and scale the others by `1 / (1 - rate)`.

    Raises:
        ValueError: if the rate is outside 0..1; in train mode, if the key is missing, or there is not one key per row.

    Example:
        >>> dropout(0.5).apply({}, {}, torch.ones(6), train=True, key=random.key(0))[0]
        tensor([0., 0., 2., 2., 0., 2.])
    """
    check_between("rate", rate, 0, 1)

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        if not train or rate == 0:
            return inputs, batch_stats
        if key is None:
            raise ValueError("dropout: train mode draws; pass key=, [2] for the batch or [B, 2] for a stream per row")
        if key.ndim > 1:
            check_keys(key, inputs)
        keep = random.bernoulli(key, 1 - rate, tuple(inputs.shape[key.ndim - 1 :]))
        return torch.where(keep, inputs / (1 - rate), 0) if rate < 1 else torch.zeros_like(inputs), batch_stats

    return Layer(lambda key, /: ({}, {}), apply)


def _weight_and_bias(
    key: Key,
    shape: tuple[int, ...],
    *,
    biases: int,
    initializer: Callable[..., Tensor] = initializers.torch_uniform,
) -> Params:
    """The weight, and `biases` biases, initialised with the weight's fan-in."""
    key_weight, key_bias = random.split(key)
    params = {"weight": initializer(key_weight, shape)}
    if biases:
        params["bias"] = initializers.torch_uniform(key_bias, (biases,), fan_in=math.prod(shape[1:]))
    return params
