"""Six small convolutional networks from published write-ups: `s1a`, `s1b`, `s2`, `s3a`, `s4`, `s5`.

They are kept as published, including unusual orders of batch norm and ReLU, so that the published figures can be
reproduced and beaten under the same protocol. For new work `resnet8` is the better small encoder. Convolutions are
3 x 3, pad by 1 pixel unless stated otherwise, and have biases; weights are initialised as in torch.

    >>> import torch
    >>> from functional import random
    >>> encoder = s4()
    >>> params, batch_stats = encoder.init(random.key(0))
    >>> features, _ = encoder.apply(params, batch_stats, torch.zeros(2, 1, 28, 28))
    >>> features.shape
    torch.Size([2, 2048])

`in_channels` is the number of channels of the images, `size` their height and width in pixels. `apply` raises
ValueError for images of any other size or number of channels.
"""

import torch.nn.functional as F
from torch import Tensor

from functional import layers
from functional.base import BatchStats, Encoder, Key, Params
from functional.checks import check_channels, check_image_size, check_images
from functional.layers import Layer


def s1a(in_channels: int = 1, *, size: int = 28) -> Encoder:
    """System 1, first network: four convolutions at full resolution, dropout of .2, 4,096 features.

    Convolution, ReLU and batch norm three times, to 4, 8 and 16 channels; then convolution, batch norm and ReLU to 4.
    In train mode `apply` draws: it needs a key.

    Example:
        >>> s1a().feature_dim
        4096
    """
    net = layers.serial(
        conv1=_conv(in_channels, 4),
        relu1=layers.relu,
        bn1=layers.batch_norm(4),
        conv2=_conv(4, 8),
        relu2=layers.relu,
        bn2=layers.batch_norm(8),
        conv3=_conv(8, 16),
        relu3=layers.relu,
        bn3=layers.batch_norm(16),
        conv4=_conv(16, 4),
        bn4=layers.batch_norm(4),
        relu4=layers.relu,
        flatten=layers.flatten,
        dropout=layers.dropout(0.2),
        linear=layers.linear(4 * size**2, 4096),
    )
    return _encoder(net, in_channels, size, feature_dim=4096)


def s1b(in_channels: int = 1, *, size: int = 28) -> Encoder:
    """System 1, second network: three convolutions of stride 2 (3, 9, 18 channels), 1,024 features.

    Each convolution is followed by batch norm and LeakyReLU of slope .01.

    Example:
        >>> s1b().feature_dim
        1024

    Note:
        The two linear layers at the end (288-512-1024 for 28 pixels) follow each other without an activation, as
        published: together they are one linear map of rank at most 288.
    """
    leaky_relu = layers.activation(F.leaky_relu)
    net = layers.serial(
        conv1=_conv(in_channels, 3, stride=2),
        bn1=layers.batch_norm(3),
        relu1=leaky_relu,
        conv2=_conv(3, 9, stride=2),
        bn2=layers.batch_norm(9),
        relu2=leaky_relu,
        conv3=_conv(9, 18, stride=2),
        bn3=layers.batch_norm(18),
        relu3=leaky_relu,
        flatten=layers.flatten,
        linear1=layers.linear(18 * _halved(size, times=3) ** 2, 512),
        linear2=layers.linear(512, 1024),
    )
    return _encoder(net, in_channels, size, feature_dim=1024)


def s2(in_channels: int = 3, *, size: int = 32) -> Encoder:
    """System 2: two convolutions with max-pools (32, 64 channels), a linear layer and ReLU, 128 features.

    Example:
        >>> s2().feature_dim
        128

    Note:
        The write-up has two networks, one with a last layer 128-4 that classifies rotations, one with 128-128 for
        pairs. They share the encoder, whose features are the 128 numbers after the ReLU; the last layer belongs to the
        method.
    """
    net = layers.serial(
        conv1=_conv(in_channels, 32),
        pool1=layers.max_pool(2),
        relu1=layers.relu,
        conv2=_conv(32, 64),
        pool2=layers.max_pool(2),
        flatten=layers.flatten,
        relu2=layers.relu,
        linear=layers.linear(64 * (size // 4) ** 2, 128),
        relu3=layers.relu,
    )
    return _encoder(net, in_channels, size, feature_dim=128)


def s3a(in_channels: int = 1, *, size: int = 28) -> Encoder:
    """System 3, MNIST: two convolutions with max-pools (32, 64 channels) and a linear layer, 128 features.

    Like `s2`, but without the last ReLU: the features have both signs.

    Example:
        >>> s3a().feature_dim
        128
    """
    net = layers.serial(
        conv1=_conv(in_channels, 32),
        pool1=layers.max_pool(2),
        relu1=layers.relu,
        conv2=_conv(32, 64),
        pool2=layers.max_pool(2),
        flatten=layers.flatten,
        relu2=layers.relu,
        linear=layers.linear(64 * (size // 4) ** 2, 128),
    )
    return _encoder(net, in_channels, size, feature_dim=128)


def s4(in_channels: int = 1, *, size: int = 28) -> Encoder:
    """System 4: three convolutions of stride 2 (32, 64, 128 channels), ReLU, then batch norm; 2,048 features.

    The features are the last maps, flattened: `128 * ceil(size / 8) ** 2` numbers, 2,048 for 28 and for 32 pixels.

    Example:
        >>> s4().feature_dim
        2048
    """
    net = layers.serial(
        conv1=_conv(in_channels, 32, stride=2),
        relu1=layers.relu,
        bn1=layers.batch_norm(32),
        conv2=_conv(32, 64, stride=2),
        relu2=layers.relu,
        bn2=layers.batch_norm(64),
        conv3=_conv(64, 128, stride=2),
        relu3=layers.relu,
        bn3=layers.batch_norm(128),
        flatten=layers.flatten,
    )
    return _encoder(net, in_channels, size, feature_dim=128 * _halved(size, times=3) ** 2)


def s5(in_channels: int = 1, *, latent_dim: int = 4) -> Encoder:
    """System 5: the encoder of a convolutional autoencoder for 28 x 28 pixels; the features are the latents.

    Convolutions of stride 2 to 8, 16 and 32 channels (28, 14, 7, 3 pixels; the last without padding), batch norm
    after the second, ReLU after each; linear 288-128, ReLU, 128-`latent_dim`. Its decoder: `heads.s5_decoder`.

    Example:
        >>> s5(latent_dim=2).feature_dim
        2
    """
    net = layers.serial(
        conv1=_conv(in_channels, 8, stride=2),
        relu1=layers.relu,
        conv2=_conv(8, 16, stride=2),
        bn2=layers.batch_norm(16),
        relu2=layers.relu,
        conv3=_conv(16, 32, stride=2, padding=0),
        relu3=layers.relu,
        flatten=layers.flatten,
        linear1=layers.linear(288, 128),
        relu4=layers.relu,
        linear2=layers.linear(128, latent_dim),
    )
    return _encoder(net, in_channels, size=28, feature_dim=latent_dim)


def _encoder(net: Layer, in_channels: int, size: int, feature_dim: int) -> Encoder:
    def apply(
        params: Params, batch_stats: BatchStats, images: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        check_images(images)
        check_channels("images", images, in_channels)
        check_image_size(images, size)
        return net.apply(params, batch_stats, images, train=train, key=key)

    return Encoder(net.init, apply, feature_dim)


def _conv(in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 1) -> Layer:
    return layers.conv(in_channels, out_channels, 3, stride=stride, padding=padding)


def _halved(size: int, times: int) -> int:
    """The height of maps of `size` pixels after convolutions of stride 2 and padding 1: each halves, rounding up."""
    return -(-size // 2**times)
