"""Networks on top of an encoder during pretraining: projection and prediction MLPs, and decoders.

Heads are layers, `(init, apply)`. MLPs are discarded after pretraining: only the encoder's features are used later.
Their batch norms therefore keep no running statistics and normalise by the batch in evaluation mode too. Decoders are
kept, to turn features into images.
"""

from itertools import pairwise

import torch
from torch import Tensor

from functional import layers, random
from functional.base import BatchStats, Key, Params
from functional.checks import check_positive
from functional.layers import Layer
from functional.numerics import promote_half


def projection_mlp(
    in_features: int,
    widths: tuple[int, ...],
    *,
    batch_norm: bool = False,
    last_batch_norm: bool = False,
    last_bias: bool = True,
) -> Layer:
    """linear, ReLU, ..., linear: `[B, in_features] -> [B, widths[-1]]`, one linear layer per width.

    Args:
        in_features: the `feature_dim` of the encoder.
        widths: the outputs of each linear layer: (2048, 256) for SimCLR, (2048, 2048, 2048) for SimSiam.
        batch_norm: normalise before each ReLU, as SimSiam and BYOL do.
        last_batch_norm: normalise the outputs too, without scale and shift, as SimSiam does.
        last_bias: whether the last linear layer has a bias; before a batch norm it never has one.

    Returns:
        A layer with parameters `linear1`, `bn1`, `linear2`, ...; empty `widths` give the identity.

    Raises:
        ValueError: if a size is not above 0.

    Example:
        >>> from functional import random
        >>> params, batch_stats = projection_mlp(512, (256, 128), batch_norm=True).init(random.key(0))
        >>> list(params), batch_stats
        (['linear1', 'bn1', 'linear2'], {})

    References:
        Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual representations.
        arXiv:2002.05709, section 2.1. Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566,
        section 3, "Projection MLP".

    Note:
        A linear layer before a batch norm has no bias: subtracting the mean would cancel it. The authors' SimCLR code
        has batch norm in the head too; the paper's equation and the default here have none.
    """
    net: dict[str, Layer] = {}
    for i, (width_in, width) in enumerate(pairwise((in_features, *widths)), start=1):
        last = i == len(widths)
        normalise = last_batch_norm if last else batch_norm
        net[f"linear{i}"] = layers.linear(width_in, width, bias=not normalise and (last_bias or not last))
        if normalise:
            net[f"bn{i}"] = layers.batch_norm(width, affine=not last, track_running_stats=False)
        if not last:
            net[f"relu{i}"] = layers.relu
    return layers.serial(**net)


def prediction_mlp(in_features: int, hidden: int, out_features: int, *, last_bias: bool = True) -> Layer:
    """linear, batch norm, ReLU, linear: the MLP with which SimSiam and BYOL predict the other view.

    Args:
        in_features: the outputs of the projection MLP.
        hidden: 512 for 2,048 features in SimSiam (a bottleneck), 4,096 for 256 in BYOL.
        out_features: the outputs of the projection that it predicts.
        last_bias: whether the last linear layer has a bias, as in SimSiam; in BYOL it has none.

    Returns:
        A layer of `[B, in_features] -> [B, out_features]` with parameters `linear1`, `bn1`, `linear2`.

    Example:
        >>> from functional import random
        >>> params, batch_stats = prediction_mlp(256, 512, 256).init(random.key(0))
        >>> list(params)
        ['linear1', 'bn1', 'linear2']

    References:
        Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566, section 3, "Prediction MLP".
        Grill et al. Bootstrap your own latent. arXiv:2006.07733, section 3.3.
    """
    return projection_mlp(in_features, (hidden, out_features), batch_norm=True, last_bias=last_bias)


def s5_decoder(latent_dim: int = 4, *, out_channels: int = 1, width: int = 1) -> Layer:
    """From latents to the logits of images: `[B, latent_dim] -> [B, out_channels, 28, 28]`, to decode `encoders.s5`.

    Linear to 128 and 288, ReLU after each, reshaped to 32 maps of 3 x 3; transposed convolutions of stride 2 to 16, 8
    and `out_channels` maps of 7, 14 and 28 pixels, batch norm and ReLU in between. The sigmoid of the outputs is the
    image, in 0..1.

    Args:
        latent_dim: the `feature_dim` of the encoder.
        out_channels: channels of the images.
        width: multiplies the numbers of hidden units and maps, all but `out_channels`.

    Raises:
        ValueError: if a size is not above 0.

    Example:
        >>> import torch
        >>> from functional import random
        >>> decoder = s5_decoder()
        >>> params, batch_stats = decoder.init(random.key(0))
        >>> logits, _ = decoder.apply(params, batch_stats, torch.zeros(2, 4))
        >>> logits.sigmoid().shape
        torch.Size([2, 1, 28, 28])

    Note:
        The published network ends in the sigmoid. `losses.binary_cross_entropy` takes logits, from which it stays
        accurate where the sigmoid rounds to 0 or 1.
    """
    check_positive("width", width)
    maps1, maps2, maps3 = 32 * width, 16 * width, 8 * width
    return layers.serial(
        linear1=layers.linear(latent_dim, 128 * width),
        relu1=layers.relu,
        linear2=layers.linear(128 * width, 9 * maps1),
        relu2=layers.relu,
        maps=layers.activation(lambda x: x.unflatten(1, (maps1, 3, 3))),
        conv1=layers.conv_transpose(maps1, maps2, 3, stride=2),
        bn1=layers.batch_norm(maps2),
        relu3=layers.relu,
        conv2=layers.conv_transpose(maps2, maps3, 3, stride=2, padding=1, output_padding=1),
        bn2=layers.batch_norm(maps3),
        relu4=layers.relu,
        conv3=layers.conv_transpose(maps3, out_channels, 3, stride=2, padding=1, output_padding=1),
    )


def fourier_decoder(
    latent_dim: int = 4,
    *,
    out_channels: int = 1,
    size: int = 28,
    frequencies: int = 128,
    scale: float = 1.0,
    hidden: int = 512,
) -> Layer:
    r"""An MLP on waves in the latents, to the logits of images: `[B, latent_dim] -> [B, out_channels, size, size]`.

    A ReLU network of few inputs learns its slow variations first and its fast ones hardly at all. Waves of random
    frequencies as inputs give it both: with $z$ the latents, whitened by running statistics, and $B$ drawn once from
    $N(0, \mathrm{scale}^2)$, the inputs of the MLP are $z$, $\sin B^\top z$ and $\cos B^\top z$. The MLP has hidden
    layers of `hidden`, `hidden` and twice as many units, ReLU after each and batch norm before the last two. The
    sigmoid of the outputs is the image, in 0..1.

    Args:
        latent_dim: the `feature_dim` of the encoder.
        out_channels: channels of the images.
        size: height and width of the images in pixels.
        frequencies: the number of waves, the columns of $B$. They are not trained: `batch_stats` has them.
        scale: radians per standard deviation of a latent; larger ones fit finer folds, and noise.
        hidden: units of the first hidden layer.

    Raises:
        ValueError: if a size or the scale is not above 0.

    Example:
        >>> import torch
        >>> decoder = fourier_decoder(size=8, hidden=16)
        >>> params, batch_stats = decoder.init(random.key(0))
        >>> decoder.apply(params, batch_stats, torch.zeros(2, 4))[0].shape, batch_stats["waves"]["frequencies"].shape
        (torch.Size([2, 1, 8, 8]), torch.Size([4, 128]))

    References:
        Tancik et al. Fourier features let networks learn high frequency functions in low dimensional domains.
        arXiv:2006.10739, section 6 ("Gaussian").
    """
    sizes = {"latent_dim": latent_dim, "out_channels": out_channels, "size": size, "hidden": hidden}
    for name, value in {**sizes, "frequencies": frequencies, "scale": scale}.items():
        check_positive(name, value)
    return layers.serial(
        whitening=layers.batch_norm(latent_dim, affine=False),
        waves=_waves(latent_dim, frequencies, scale),
        linear1=layers.linear(latent_dim + 2 * frequencies, hidden),
        relu1=layers.relu,
        linear2=layers.linear(hidden, hidden, bias=False),
        bn2=layers.batch_norm(hidden),
        relu2=layers.relu,
        linear3=layers.linear(hidden, 2 * hidden, bias=False),
        bn3=layers.batch_norm(2 * hidden),
        relu3=layers.relu,
        linear4=layers.linear(2 * hidden, out_channels * size**2),
        image=layers.activation(lambda x: x.unflatten(1, (out_channels, size, size))),
    )


def _waves(in_features: int, frequencies: int, scale: float) -> Layer:
    """The inputs, and the sine and cosine of their products with frequencies that are drawn once."""

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        return {}, {"frequencies": scale * random.normal(key, (in_features, frequencies))}

    def apply(
        params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        x = promote_half(inputs)
        angles = x @ batch_stats["frequencies"].to(x)
        return torch.cat([x, angles.sin(), angles.cos()], dim=1).to(inputs), batch_stats

    return Layer(init, apply)
