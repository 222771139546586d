r"""Denoising autoencoder: reconstruct the clean image from a noisy one.

    view      x = t(x)                       in 0..1; t drawn per image from the key
    noisy     x' = clip(x + sigma e, 0, 1)   e standard normal, drawn per image from the key
    latents   h = f(x')
    image     y = sigmoid(g(h))              g: the decoder
    loss      mean over images and pixels of the cross-entropy of y and the clean x, or of |y - x|^2

References:
    Vincent, Larochelle, Bengio, Manzagol. Extracting and composing robust features with denoising autoencoders. ICML
    2008, section 2.3.

Note:
    The paper sets random pixels to 0; published autoencoders on MNIST, among them that of `encoders.s5`, add normal
    noise of .3 as here, and often take the squared error. Some compare the reconstruction with the noisy image, and so
    learn to keep the noise. The decoder keeps the running statistics of its batch norms: see `autoencoder`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from functional import augmentations, heads, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.checks import check_between
from functional.layers import Layer
from functional.methods import _reconstruction
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
        decoder_stats: the decoder's running statistics.
    """

    batch_stats: BatchStats
    decoder_stats: BatchStats


def denoising_autoencoder(
    encoder: Encoder,
    *,
    views: Views,
    decoder: Callable[..., Layer] = heads.s5_decoder,
    channels: int = 1,
    noise: float = 0.3,
    squared_error: bool = False,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features are the latents.
        views: the augmentation of the images. Its outputs are the targets and must be in 0..1, without normalisation
            and without noise; the method checks this once, on black and white images.
        decoder: `(latent_dim, *, out_channels) -> Layer`, from latents to the logits of images; the default decodes
            to 28 x 28 pixels.
        channels: the number of channels of the images.
        noise: standard deviation of the noise, at least 0.
        squared_error: minimise the mean squared error in place of the cross-entropy.

    Returns:
        A `Method`. `params` has `"encoder"` and `"decoder"`; `info` has `mean_squared_error`, the error of the
        reconstructions, and `explained_variance`, the fraction by which it is below the error of the batch's mean
        image: 1 for perfect reconstructions, 0 or less when the latents have collapsed.

    Raises:
        ValueError: if there is more than one view, the views leave 0..1 or the noise is below 0; in the loss, if the
            shapes of the decoder's images and the views differ.

    Example:
        >>> import torch
        >>> from functional import encoders
        >>> method = denoising_autoencoder(encoders.s5(), views=augmentations.horizontal_flip)
        >>> batch = Batch(torch.rand(6, 1, 28, 28), None, torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> list(state.decoder_stats), list(info)
        (['bn1', 'bn2'], ['mean_squared_error', 'explained_variance'])
    """
    check_between("noise", noise, 0, math.inf)
    views = augmentations.per_view(views, 1)
    decode = _reconstruction.build_decoder(decoder, encoder.feature_dim, channels, views)

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_decoder = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        decoder_params, decoder_stats = decode.init(key_decoder)
        return {"encoder": encoder_params, "decoder": decoder_params}, State(batch_stats, decoder_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        (x,) = augmentations.draw_views(views, key, batch)
        streams = (Stream.ENCODER, Stream.HEAD, Stream.NOISE)
        keys, own, key_noise = (image_keys(key, stream, batch.index)[0] for stream in streams)
        noisy = (x + noise * random.normal(key_noise, tuple(x.shape[1:])).to(x.dtype)).clamp(0, 1)
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, noisy, train=True, key=keys)
        y, decoder_stats = decode.apply(params["decoder"], state.decoder_stats, h, train=True, key=own)
        value = _reconstruction.error(y, x, squared_error=squared_error).mean()
        info = _reconstruction.measures(y, x)
        return value, tree.detach((State(batch_stats, decoder_stats), info))

    return Method(init, loss, decoder=_reconstruction.published_decoder)
