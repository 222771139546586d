r"""Residual networks with torchvision's parameter names and outputs: `resnet18`, `resnet34`, `resnet50`, `resnet8`.

A network is a stem, stages of residual blocks $x \mapsto \mathrm{relu}(f(x) + x)$, each stage after the first at half
the resolution, and the mean over all positions. Where $f$ changes the shape of $x$, the shortcut is a 1 x 1
convolution and a batch norm (`downsample`). There is no classifier (`fc`).

The stem depends on the size of the images: "imagenet" (7 x 7 convolution of stride 2 and max-pool: a quarter of the
resolution) for about 100 pixels and more, "cifar" (3 x 3 convolution: full resolution) for about 32, "strided" (4 x 4
convolution of stride 2: half the resolution) for about 32 if a quarter of the cost matters more than the last points.

Flat names and shapes are torchvision's, so weights can be converted both ways:

    flat = {**tree.flatten(params), **tree.flatten(batch_stats)}
    torchvision.models.resnet18().load_state_dict(flat, strict=False)  # all but fc.* and num_batches_tracked

References:
    He, Zhang, Ren, Sun. Deep residual learning for image recognition. arXiv:1512.03385, table 1 and section 4.2.
    Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual representations.
    arXiv:2002.05709, appendix B.9: the CIFAR stem.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from functional import initializers, layers, random
from functional.base import BatchStats, Encoder, Key, Params
from functional.checks import check_channels, check_images, check_positive
from functional.layers import Layer

Stem = Literal["cifar", "imagenet", "strided"]
_relu = layers.activation(torch.relu_)  # in place, because nothing else uses the outputs of batch norm
Block = Callable[[int, int, int], Layer]  # (channels in, channels out, stride) -> layer


def resnet18(in_channels: int = 3, *, stem: Stem = "imagenet", compute_dtype: torch.dtype | None = None) -> Encoder:
    """ResNet-18: stages of 2, 2, 2, 2 basic blocks; 11.2 million parameters, 512 features.

    Args:
        in_channels: channels of the images, 1 for grey and 3 for colour.
        stem: "cifar" or "strided" for images of about 32 pixels, "imagenet" for larger ones.
        compute_dtype: the dtype of computations, such as torch.bfloat16. Parameters, statistics and features stay
            float32.

    Returns:
        An encoder of `[B, in_channels, H, W] -> [B, 512]`, H, W >= 2. It draws nothing: `apply` ignores its key.

    Raises:
        ValueError: for an unknown stem; from `apply`, for images with a different number of channels.

    Example:
        >>> resnet18(in_channels=1, stem="cifar").feature_dim
        512
    """
    return _resnet(_basic_block, (2, 2, 2, 2), (64, 128, 256, 512), in_channels, stem, compute_dtype)


def resnet34(in_channels: int = 3, *, stem: Stem = "imagenet", compute_dtype: torch.dtype | None = None) -> Encoder:
    """ResNet-34: stages of 3, 4, 6, 3 basic blocks; 21.3 million parameters, 512 features. Otherwise as `resnet18`.

    Example:
        >>> resnet34(in_channels=3, stem="cifar").feature_dim
        512
    """
    return _resnet(_basic_block, (3, 4, 6, 3), (64, 128, 256, 512), in_channels, stem, compute_dtype)


def resnet50(in_channels: int = 3, *, stem: Stem = "imagenet", compute_dtype: torch.dtype | None = None) -> Encoder:
    """ResNet-50: stages of 3, 4, 6, 3 bottlenecks; 23.5 million parameters, 2,048 features. Otherwise as `resnet18`.

    Example:
        >>> resnet50().feature_dim
        2048

    Note:
        A bottleneck downsamples in its 3 x 3 convolution, as in torchvision; the paper's does so in its first 1 x 1
        convolution, which then skips three pixels of four.
    """
    return _resnet(_bottleneck, (3, 4, 6, 3), (256, 512, 1024, 2048), in_channels, stem, compute_dtype)


def resnet8(
    in_channels: int = 3,
    *,
    width: int = 32,
    stem: Stem = "cifar",
    feature_dim: int | None = None,
    grid: int = 1,
    compute_dtype: torch.dtype | None = None,
) -> Encoder:
    """ResNet-8, for images of 8 to 32 pixels: a stem and three basic blocks.

    It has `4 * width * grid ** 2` features, or `feature_dim`.

    Args:
        in_channels: channels of the images.
        width: channels of the stem and the first stage; the next two have twice and four times as many. 32 gives
            0.3 million parameters and 128 features.
        stem: as for `resnet18`.
        feature_dim: if given, a 1 x 1 convolution, batch norm and ReLU before the means make this many features: more
            of them, which a linear probe can use, at a few per cent of the cost. A multiple of `grid ** 2`.
        grid: the features are means over each cell of a `grid` x `grid` grid, instead of over all positions. They
            keep where things are, which helps if all images are aligned, as those of MNIST and Fashion-MNIST.
        compute_dtype: as for `resnet18`.

    Returns:
        An encoder of `[B, in_channels, H, W] -> [B, feature_dim]`.

    Raises:
        ValueError: for an unknown stem, a grid that is not above 0 or does not divide `feature_dim`; from `apply`, for
            images with a different number of channels, or too small for the grid.

    Note:
        The paper's family for CIFAR-10 has 6n + 2 layers, three stages of n blocks, and width 16; this is n = 1.
        Its shortcuts pad new channels with zeros (option A); these are 1 x 1 convolutions (option B), as in the
        deeper networks here.

    Example:
        >>> encoder = resnet8(in_channels=1)
        >>> params, batch_stats = encoder.init(random.key(0))
        >>> features, _ = encoder.apply(params, batch_stats, torch.zeros(2, 1, 8, 8))
        >>> features.shape
        torch.Size([2, 128])
    """
    check_positive("grid", grid)
    if feature_dim and feature_dim % grid**2:
        raise ValueError(f"feature_dim: expected a multiple of {grid**2}, the cells of the grid, got {feature_dim}")
    channels = feature_dim // grid**2 if feature_dim else None
    widths = (width, 2 * width, 4 * width)
    return _resnet(_basic_block, (1, 1, 1), widths, in_channels, stem, compute_dtype, width, channels, grid)


def _resnet(
    block: Block,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    in_channels: int,
    stem: Stem,
    compute_dtype: torch.dtype | None,
    stem_width: int = 64,
    widened: int | None = None,
    grid: int = 1,
) -> Encoder:
    """The network whose stages have `depths` blocks and `widths` channels, and `widened` channels before the means."""
    widths_in = (stem_width, *widths[:-1])
    stages = {
        f"layer{i}": _stage(block, depth, width_in, width_out, stride=1 if i == 1 else 2)
        for i, (depth, width_in, width_out) in enumerate(zip(depths, widths_in, widths, strict=True), start=1)
    }
    widen = {"widen": _widening(widths[-1], widened)} if widened else {}
    avgpool = layers.global_average_pool if grid == 1 else layers.grid_average_pool(grid)
    net = layers.serial(**_stem(stem, in_channels, stem_width), **stages, **widen, avgpool=avgpool)
    net = layers.cast(net, compute_dtype)

    def apply(
        params: Params, batch_stats: BatchStats, images: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        check_images(images)
        check_channels("images", images, in_channels)
        return net.apply(params, batch_stats, images, train=train)

    return Encoder(net.init, apply, (widened or widths[-1]) * grid**2)


def _stem(stem: Stem, in_channels: int, width: int) -> dict[str, Layer]:
    normalised = {"bn1": layers.batch_norm(width), "relu": _relu}
    if stem == "cifar":
        return {"conv1": _conv(in_channels, width, 3), **normalised}
    if stem == "strided":
        return {"conv1": _conv(in_channels, width, 4, stride=2), **normalised}
    if stem == "imagenet":
        maxpool = layers.max_pool(3, stride=2, padding=1)
        return {"conv1": _conv(in_channels, width, 7, stride=2), **normalised, "maxpool": maxpool}
    raise ValueError(
        f"stem: expected 'cifar' or 'strided' (for images of about 32 pixels) or 'imagenet' (for larger ones), "
        f"got {stem!r}"
    )


def _widening(width_in: int, width_out: int) -> Layer:
    return layers.serial(conv=_conv(width_in, width_out, 1), bn=layers.batch_norm(width_out), relu=_relu)


def _stage(block: Block, depth: int, width_in: int, width_out: int, stride: int) -> Layer:
    first, rest = block(width_in, width_out, stride), block(width_out, width_out, 1)
    return layers.serial(**{str(i): rest if i else first for i in range(depth)})


def _basic_block(width_in: int, width_out: int, stride: int) -> Layer:
    body = layers.serial(
        conv1=_conv(width_in, width_out, 3, stride=stride),
        bn1=layers.batch_norm(width_out),
        relu1=_relu,
        conv2=_conv(width_out, width_out, 3),
        bn2=layers.batch_norm(width_out),
    )
    return _residual(body, _shortcut(width_in, width_out, stride))


def _bottleneck(width_in: int, width_out: int, stride: int) -> Layer:
    narrow = width_out // 4
    body = layers.serial(
        conv1=_conv(width_in, narrow, 1),
        bn1=layers.batch_norm(narrow),
        relu1=_relu,
        conv2=_conv(narrow, narrow, 3, stride=stride),
        bn2=layers.batch_norm(narrow),
        relu2=_relu,
        conv3=_conv(narrow, width_out, 1),
        bn3=layers.batch_norm(width_out),
    )
    return _residual(body, _shortcut(width_in, width_out, stride))


def _shortcut(width_in: int, width_out: int, stride: int) -> Layer:
    """The layer that maps the inputs of a block to the shape of its outputs; the identity if the shapes agree."""
    if stride == 1 and width_in == width_out:
        return layers.serial()
    downsample = {"0": _conv(width_in, width_out, 1, stride=stride), "1": layers.batch_norm(width_out)}
    return layers.serial(downsample=layers.serial(**downsample))


def _residual(body: Layer, shortcut: Layer) -> Layer:
    """`relu(body(x) + shortcut(x))`. Both are serial, and their parameters share one dict."""

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        key_body, key_shortcut = random.split(key)
        body_params, body_stats = body.init(key_body)
        shortcut_params, shortcut_stats = shortcut.init(key_shortcut)
        return body_params | shortcut_params, body_stats | shortcut_stats

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        outputs, body_stats = body.apply(params, batch_stats, inputs, train=train)
        inputs, shortcut_stats = shortcut.apply(params, batch_stats, inputs, train=train)
        return torch.relu_(outputs + inputs), body_stats | shortcut_stats

    return Layer(init, apply)


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> Layer:
    return layers.conv(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=(kernel - 1) // 2,
        bias=False,
        initializer=initializers.kaiming_normal,
    )
