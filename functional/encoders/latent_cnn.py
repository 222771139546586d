"""A small convolutional encoder that ends in a few unbounded numbers: the latents of an autoencoder."""

from torch import Tensor

from functional import layers
from functional.base import BatchStats, Encoder, Key, Params
from functional.checks import check_channels, check_image_size, check_images, check_positive

_STAGES = 3


def latent_cnn(
    in_channels: int = 1, *, latent_dim: int = 4, width: int = 32, hidden: int = 256, size: int = 28
) -> Encoder:
    """Three convolutions of stride 2, each with batch norm and ReLU, and two linear layers to `latent_dim` features.

    A residual network ends in the mean over positions, after a ReLU. An autoencoder with few latents has to keep the
    positions: here the last maps are flattened, and the latents have both signs.

    Args:
        in_channels: channels of the images.
        latent_dim: the number of features.
        width: maps of the first convolution; the next two have twice and four times as many.
        hidden: width of the hidden linear layer.
        size: height and width of the images in pixels.

    Returns:
        An encoder of `[B, in_channels, size, size] -> [B, latent_dim]`. It draws nothing: `apply` ignores its key.

    Raises:
        ValueError: if a size is not above 0; from `apply`, for images of another size or number of channels.

    Example:
        >>> import torch
        >>> from functional import random
        >>> encoder = latent_cnn(latent_dim=2, width=8)
        >>> params, batch_stats = encoder.init(random.key(0))
        >>> encoder.apply(params, batch_stats, torch.zeros(3, 1, 28, 28))[0].shape
        torch.Size([3, 2])
    """
    for name, value in {"latent_dim": latent_dim, "width": width, "hidden": hidden, "size": size}.items():
        check_positive(name, value)
    net, maps = {}, in_channels
    for i, wide in enumerate((width, 2 * width, 4 * width), start=1):
        net[f"conv{i}"] = layers.conv(maps, wide, 3, stride=2, padding=1, bias=False)
        net[f"bn{i}"] = layers.batch_norm(wide)
        net[f"relu{i}"] = layers.relu
        maps = wide
    side = -(-size // 2**_STAGES)  # each convolution halves it, rounding up
    body = layers.serial(
        **net,
        flatten=layers.flatten,
        linear1=layers.linear(maps * side**2, hidden),
        relu=layers.relu,
        linear2=layers.linear(hidden, latent_dim),
    )

    def apply(
        params: Params, batch_stats: BatchStats, images: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        check_images(images)
        check_channels("images", images, in_channels)
        check_image_size(images, size)
        return body.apply(params, batch_stats, images, train=train)

    return Encoder(body.init, apply, latent_dim)
